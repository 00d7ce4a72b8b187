"""What is installed, what it runs on, what does not fit, and whether it works."""

import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from types import ModuleType
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from medicane_models.diagnosis.trials import Trial, try_onnx, try_torch
from medicane_models.errors import MissingExtraError
from medicane_models.files import plain
from medicane_models.runtimes.accelerators import (
    PROVIDERS,
    NvidiaDriver,
    free_memory_bytes,
    major,
    nvidia_driver,
    onnx_runtimes,
    onnxruntime_build,
    provider_problem,
    runtimes_problem,
)

__all__ = ["Examination", "Finding", "examine"]

DISTRIBUTION = "medicane-models"
TORCH_PAGE = "see https://pytorch.org/get-started/locally"
Level = Literal["broken", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that does not fit.

    Attributes:
        level: "broken" if something that was installed to work does not, else "note".
        text: what.
        remedy: what to do.
    """

    level: Level
    text: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Examination:
    """All that ``medicane doctor`` tells.

    Attributes:
        system: Python, platform, cores and memory.
        packages: installed versions of what the package needs or can use.
        extras: for each extra, the requirements that are missing or too old.
        devices: driver, GPUs and what torch and onnxruntime make of them.
        trials: models that were run.
        findings: what does not fit.
    """

    system: dict[str, Any]
    packages: dict[str, str]
    extras: dict[str, list[str]]
    devices: dict[str, Any]
    trials: tuple[Trial, ...]
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> bool:
        """Whether something must be mended."""
        return any(finding.level == "broken" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return plain(self) | {"broken": self.broken}

    def rows(self) -> list[tuple[str, str]]:
        """Everything as labels and lines for a person."""
        present = [name for name, missing in self.extras.items() if not missing]
        absent = [f"{name} ({', '.join(lack)})" for name, lack in self.extras.items() if lack]
        return [
            *((key, str(value)) for key, value in (self.system | self.devices).items()),
            ("packages", ", ".join(f"{name} {v}" for name, v in self.packages.items())),
            ("extras", ", ".join(present) or "none"),
            ("not installed", "; ".join(absent) or "none"),
            *(("tried", str(trial)) for trial in self.trials),
            *((finding.level, f"{finding.text}; {finding.remedy}") for finding in self.findings),
            ("verdict", "broken, see above" if self.broken else "works"),
        ]


def examine() -> Examination:
    """Look at everything; nothing that is missing or broken stops it."""
    torch, torch_error = _imported("torch")
    driver = nvidia_driver()
    trials = [*try_onnx()]
    if torch is not None and _version("timm") is not None:
        trials.insert(0, try_torch())
    return Examination(
        system=_system(),
        packages=_packages(),
        extras=_extras(),
        devices=_devices(torch, driver),
        trials=tuple(trials),
        findings=(
            *_package_findings(),
            *_torch_findings(torch, torch_error, driver),
            *_onnx_findings(driver),
            *_trial_findings(trials, driver),
        ),
    )


def _imported(name: str) -> tuple[ModuleType | None, str | None]:
    """A module, or why it cannot be imported."""
    try:
        return import_module(name), None
    except (ImportError, OSError) as error:  # OSError: a library that it links to is missing
        return None, str(error)


def _system() -> dict[str, Any]:
    free = free_memory_bytes("cpu") / 1e9
    return {
        "medicane-models": metadata.version(DISTRIBUTION),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu cores": len(os.sched_getaffinity(0)),
        "free memory": f"{free:.1f} GB",
    }


def _requirements(extra: str = "") -> list[Requirement]:
    """What the package asks for: always, or with an extra."""
    parsed = map(Requirement, metadata.requires(DISTRIBUTION) or ())
    return [
        requirement
        for requirement in parsed
        if requirement.name != DISTRIBUTION
        and _applies(requirement, extra)
        and not (extra and _applies(requirement, ""))
    ]


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _extra_names() -> list[str]:
    return metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> dict[str, str]:
    """Versions of the requirements that are installed, and of any onnxruntime."""
    wanted = [r for extra in ("", *_extra_names()) for r in _requirements(extra)]
    names = dict.fromkeys(canonicalize_name(requirement.name) for requirement in wanted)
    found = {name: version for name in names if (version := _version(name))}
    return dict(sorted((found | onnx_runtimes()).items()))


def _unmet(requirement: Requirement) -> str | None:
    """What a requirement lacks, in words."""
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version}, needed {requirement.specifier}"
    return None


def _extras() -> dict[str, list[str]]:
    return {
        extra: [lack for requirement in _requirements(extra) if (lack := _unmet(requirement))]
        for extra in _extra_names()
    }


def _package_findings() -> Iterator[Finding]:
    for requirement in _requirements():
        lack = _unmet(requirement)
        if lack is None:
            continue
        served = requirement.name in ("torch", "timm") and onnx_runtimes() and "missing" in lack
        yield Finding(
            level="note" if served else "broken",
            text=f"{lack}; only --runtime onnx works" if served else lack,
            remedy=f'run: pip install "{requirement.name}{requirement.specifier}"',
        )


def _devices(torch: ModuleType | None, driver: NvidiaDriver | None) -> dict[str, Any]:
    devices: dict[str, Any] = {"driver": str(driver or "none")}
    for number, gpu in enumerate(driver.gpus if driver else ()):
        devices[f"gpu {number}"] = f"{gpu.name}, {gpu.free_mib} of {gpu.memory_mib} MiB free"
    if torch is not None:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
        devices["torch"] = f"{torch.__version__}, {built}, sees {_gpu_count(torch)} GPUs"
    with suppress(MissingExtraError):
        build = onnxruntime_build()
        devices["onnxruntime"] = f"{build}, offers {', '.join(build.providers)}"
    return devices


def _gpu_count(torch: ModuleType) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver, which is found below
        return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _torch_findings(
    torch: ModuleType | None, error: str | None, driver: NvidiaDriver | None
) -> Iterator[Finding]:
    if torch is None:
        if _version("torch") is not None:
            yield _broken(
                f"torch cannot be imported ({error})", "run: pip install --force-reinstall torch"
            )
        return
    built = torch.version.cuda
    if built and driver is None:
        text = f"torch {torch.__version__} is built for CUDA {built}, and there is no NVIDIA driver"
        yield _note(text, f"it runs on the CPU; for a GPU install a driver, {TORCH_PAGE}")
    elif driver is not None and not built:
        text = f"torch {torch.__version__} is built for CPUs and leaves {_names(driver)} idle"
        yield _note(text, f"install its CUDA build, {TORCH_PAGE}")
    elif driver is not None and driver.gpus and not _gpu_count(torch):
        old = major(driver.cuda) < major(built)
        reason = f"{driver} is too old" if old else f"it sees no GPU through {driver}"
        remedy = f"update the driver or install a torch for CUDA {driver.cuda}, {TORCH_PAGE}"
        yield _broken(f"torch {torch.__version__} is built for CUDA {built}: {reason}", remedy)


def _onnx_findings(driver: NvidiaDriver | None) -> Iterator[Finding]:
    if (problem := runtimes_problem()) is not None:
        yield _broken(*problem)
    try:
        build = onnxruntime_build()
    except MissingExtraError as error:
        text, _, remedy = str(error).rpartition("; ")
        yield _broken(text, remedy) if onnx_runtimes() else _note(text, remedy)
        return
    if driver is not None and PROVIDERS["cuda"] not in build.providers:
        yield _note(*provider_problem("cuda"))


def _trial_findings(trials: Sequence[Trial], driver: NvidiaDriver | None) -> Iterator[Finding]:
    """A runtime that fails is broken, unless it is one that this machine has no hardware for."""
    for trial in trials:
        if trial.error is None:
            continue
        unused = trial.device == "tensorrt" or (trial.device == "cuda" and driver is None)
        level = _note if unused and trial.runtime == "onnxruntime" else _broken
        yield level(f"{trial.runtime} on {trial.device} fails: {trial.error}", trial.remedy)


def _names(driver: NvidiaDriver) -> str:
    return ", ".join(gpu.name for gpu in driver.gpus) or "the GPU"


def _broken(text: str, remedy: str) -> Finding:
    return Finding(level="broken", text=text, remedy=remedy)


def _note(text: str, remedy: str) -> Finding:
    return Finding(level="note", text=text, remedy=remedy)
