"""What the package asks for, and what of it is installed."""

from importlib import metadata

from packaging.requirements import Requirement

from medicane_models.versions import DISTRIBUTION, installed

__all__ = ["extras", "requirements", "unmet"]


def extras() -> list[str]:
    """Names of the package's extras; none in a source tree, where nobody knows."""
    if installed(DISTRIBUTION) is None:
        return []
    return metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []


def requirements(extra: str = "") -> list[Requirement]:
    """What the package asks for: always, or with an extra; nothing in a source tree."""
    if installed(DISTRIBUTION) is None:
        return []
    parsed = map(Requirement, metadata.requires(DISTRIBUTION) or ())
    return [
        requirement
        for requirement in parsed
        if requirement.name != DISTRIBUTION
        and _is_asked(requirement, extra)
        and not (extra and _is_asked(requirement, ""))
    ]


def unmet(requirement: Requirement) -> str | None:
    """What a requirement lacks, in words."""
    version = installed(requirement.name)
    if version is None:
        return f"{requirement.name} missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version}, needed {requirement.specifier}"
    return None


def _is_asked(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
