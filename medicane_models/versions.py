"""Which distributions are installed; none of ours in a source tree, where nobody says."""

from collections.abc import Sequence
from importlib import metadata

__all__ = ["DISTRIBUTION", "installed", "software_versions"]

DISTRIBUTION = "medicane-models"
PACKAGES = (
    DISTRIBUTION,
    "torch",
    "timm",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "xarray",
    "pyproj",
)


def installed(name: str) -> str | None:
    """Version of a distribution, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def software_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of the packages that a result may depend on, those that are installed."""
    return {name: version for name in packages if (version := installed(name)) is not None}
