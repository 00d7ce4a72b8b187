"""What is installed, what it runs on, what does not fit, and whether it works."""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any

from packaging.utils import canonicalize_name

from medicane_models.diagnosis.packages import extras, requirements, unmet
from medicane_models.diagnosis.trials import Trial, try_onnx, try_torch
from medicane_models.errors import MissingExtraError
from medicane_models.files import to_plain
from medicane_models.runtimes.accelerators import (
    PROVIDERS,
    Finding,
    NvidiaDriver,
    free_memory_bytes,
    nvidia_driver,
    onnx_runtimes,
    onnxruntime_build,
    provider_finding,
    runtimes_finding,
    torch_finding,
    torch_gpus,
)
from medicane_models.versions import DISTRIBUTION, installed

__all__ = ["Examination", "examine"]


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
        return to_plain(self) | {"broken": self.broken}

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
            *((finding.level, str(finding)) for finding in self.findings),
            ("verdict", "broken, see above" if self.broken else "works"),
        ]


def examine() -> Examination:
    """Look at everything; nothing that is missing or broken stops it."""
    torch, torch_error = _imported("torch")
    driver = nvidia_driver()
    trials = [*try_onnx()]
    if torch is not None and installed("timm") is not None:
        trials.insert(0, try_torch())
    return Examination(
        system=_system(),
        packages=_packages(),
        extras={
            extra: [lack for requirement in requirements(extra) if (lack := unmet(requirement))]
            for extra in extras()
        },
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
    return {
        DISTRIBUTION: installed(DISTRIBUTION) or "not installed",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu cores": len(os.sched_getaffinity(0)),
        "free memory": f"{free_memory_bytes('cpu') / 1e9:.1f} GB",
    }


def _packages() -> dict[str, str]:
    """Versions of the requirements that are installed, and of any onnxruntime."""
    wanted = [requirement for extra in ("", *extras()) for requirement in requirements(extra)]
    names = dict.fromkeys(canonicalize_name(requirement.name) for requirement in wanted)
    found = {name: version for name in names if (version := installed(name))}
    return dict(sorted((found | onnx_runtimes()).items()))


def _devices(torch: ModuleType | None, driver: NvidiaDriver | None) -> dict[str, Any]:
    gpus = driver.gpus if driver else ()
    devices: dict[str, Any] = {"driver": str(driver or "none")}
    devices |= {f"gpu {number}": str(gpu) for number, gpu in enumerate(gpus)}
    if torch is not None:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
        devices["torch"] = f"{torch.__version__}, {built}, sees {torch_gpus(torch)} GPUs"
    with suppress(MissingExtraError):
        build = onnxruntime_build()
        devices["onnxruntime"] = f"{build}, offers {', '.join(build.providers)}"
    return devices


def _package_findings() -> Iterator[Finding]:
    if installed(DISTRIBUTION) is None:
        yield Finding(
            f"{DISTRIBUTION} runs from a source tree, which does not say what it needs",
            "run there: pip install --editable .",
            "note",
        )
    optional = requirements("torch")
    missing = [requirement.name for requirement in optional if not installed(requirement.name)]
    for requirement in (*requirements(), *optional):
        lack = unmet(requirement)
        if lack is not None and requirement.name not in missing:
            yield Finding(lack, f'run: pip install "{requirement.name}{requirement.specifier}"')
    if missing:
        left = "only --runtime onnx works" if onnx_runtimes() else "no model runs"
        remedy = 'run: pip install "medicane-models[torch]"'
        yield Finding(f"{' and '.join(missing)} missing; {left}", remedy, "note")


def _torch_findings(
    torch: ModuleType | None, error: str | None, driver: NvidiaDriver | None
) -> Iterator[Finding]:
    if torch is not None:
        if (finding := torch_finding(torch, driver)) is not None:
            yield finding
    elif installed("torch") is not None:
        remedy = "run: pip install --force-reinstall torch"
        yield Finding(f"torch cannot be imported ({error})", remedy)


def _onnx_findings(driver: NvidiaDriver | None) -> Iterator[Finding]:
    if (both := runtimes_finding()) is not None:
        yield both
    try:
        build = onnxruntime_build()
    except MissingExtraError as error:
        text, _, remedy = str(error).rpartition("; ")
        yield Finding(text, remedy, "broken" if onnx_runtimes() else "note")
        return
    if driver is not None and PROVIDERS["cuda"] not in build.providers:
        yield replace(provider_finding("cuda"), level="note")


def _trial_findings(trials: Sequence[Trial], driver: NvidiaDriver | None) -> Iterator[Finding]:
    """A runtime that fails is broken, unless it is one that this machine has no hardware for."""
    for trial in trials:
        if trial.error is None:
            continue
        unused = trial.device == "tensorrt" or (trial.device == "cuda" and driver is None)
        level = "note" if unused and trial.runtime == "onnxruntime" else "broken"
        text = f"{trial.runtime} on {trial.device} fails: {trial.error}"
        yield Finding(text, trial.remedy, level)
