"""Which GPUs, driver and runtimes there are and what keeps them apart, without loading torch."""

import contextlib
import csv
import io
import os
import re
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

from medicane_models.errors import ConfigurationError, MissingExtraError

__all__ = [
    "PROVIDERS",
    "DeviceError",
    "Finding",
    "Gpu",
    "NvidiaDriver",
    "OnnxRuntimeBuild",
    "free_memory_bytes",
    "import_onnxruntime",
    "nvidia_driver",
    "onnx_runtimes",
    "onnxruntime_build",
    "provider_finding",
    "runtimes_finding",
    "torch_finding",
    "torch_gpus",
]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""What onnxruntime calls the devices."""

INSTALL_GPU = (
    'run: pip uninstall -y onnxruntime onnxruntime-gpu && pip install "medicane-models[gpu]"'
)
DRIVER_PAGE = "install a driver from https://www.nvidia.com/drivers"
TENSORRT_PAGE = (
    "see https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html"
)
TORCH_PAGE = "see https://pytorch.org/get-started/locally"
QUERY = "name,memory.total,memory.free"
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        name: as its maker calls it.
        memory_mib: all of its memory.
        free_mib: what is not in use.
    """

    name: str
    memory_mib: int
    free_mib: int

    def __str__(self) -> str:
        return f"{self.name}, {self.free_mib} of {self.memory_mib} MiB free"


@dataclass(frozen=True, kw_only=True)
class NvidiaDriver:
    """The NVIDIA driver and the GPUs it sees.

    Attributes:
        version: of the driver.
        cuda: the newest CUDA it can run.
        gpus: those that CUDA_VISIBLE_DEVICES leaves.
    """

    version: str
    cuda: str
    gpus: tuple[Gpu, ...]

    def __str__(self) -> str:
        return f"NVIDIA driver {self.version} (CUDA up to {self.cuda})"


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeBuild:
    """The onnxruntime that an import finds.

    Attributes:
        package: ``onnxruntime`` or ``onnxruntime-gpu``.
        version: of it.
        cuda: the CUDA it was built for; empty for a CPU build.
        providers: what the build offers, whether or not it can be loaded here.
        missing_libraries: CUDA and cuDNN libraries that it needs and that are not found.
    """

    package: str
    version: str
    cuda: str
    providers: tuple[str, ...]
    missing_libraries: tuple[str, ...]

    def __str__(self) -> str:
        built = f" (built for CUDA {self.cuda})" if self.cuda else ""
        return f"{self.package} {self.version}{built}"


def import_onnxruntime() -> ModuleType:
    """The onnxruntime module.

    Raises:
        MissingExtraError: it is not installed or damaged; with the ``pip install`` line.
    """
    try:
        import onnxruntime
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime"
        found = "is not installed" if missing else f"cannot be imported ({error})"
        raise MissingExtraError(
            f'onnxruntime {found}; run: pip install "medicane-models[onnx]" for the CPU, '
            'or pip install "medicane-models[gpu]" for NVIDIA GPUs'
        ) from error
    return onnxruntime


def onnx_runtimes() -> dict[str, str]:
    """Installed distributions that all provide the module onnxruntime, with their versions."""
    found = {}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if re.fullmatch(r"(ort-nightly|onnxruntime)(-gpu|-directml|-rocm|-openvino|-qnn)?", name):
            found[name] = distribution.version
    return dict(sorted(found.items()))


@cache
def onnxruntime_build() -> OnnxRuntimeBuild:
    """What the importable onnxruntime is; loads the CUDA libraries of pip packages if it has CUDA.

    Raises:
        MissingExtraError: there is none.
    """
    onnxruntime = import_onnxruntime()
    cuda = getattr(onnxruntime, "cuda_version", "") or ""
    return OnnxRuntimeBuild(
        package=getattr(onnxruntime, "package_name", "") or "onnxruntime",
        version=onnxruntime.__version__,
        cuda=cuda,
        providers=tuple(onnxruntime.get_available_providers()),
        missing_libraries=_preload(onnxruntime) if cuda else (),
    )


def _preload(onnxruntime: ModuleType) -> tuple[str, ...]:
    """Load CUDA and cuDNN; names of those not found, which onnxruntime only prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        onnxruntime.preload_dlls()
    return tuple(re.findall(r"Failed to load (\S+):", printed.getvalue()))


@dataclass(frozen=True)
class Finding:
    """Something that does not fit.

    Attributes:
        text: what.
        remedy: what to do.
        level: "broken" if something that was installed to work does not, else "note".
    """

    text: str
    remedy: str
    level: Literal["broken", "note"] = "broken"

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}"


class DeviceError(ConfigurationError):
    """A device that was asked for does not work here.

    Attributes:
        finding: why, and what to do.
    """

    def __init__(self, device: str, reason: str, finding: Finding) -> None:
        told = f" ({reason})" if reason else ""
        super().__init__(f"device {device} was asked for and does not work{told}: {finding}")
        self.finding = finding


def provider_finding(device: str) -> Finding:
    """Why a device's provider does not work here, as far as it shows.

    Args:
        device: a key of PROVIDERS.
    """
    build, driver = onnxruntime_build(), nvidia_driver()
    if (both := runtimes_finding()) is not None:
        return both
    if PROVIDERS[device] not in build.providers:
        return Finding(f"{build} offers only {', '.join(build.providers)}", INSTALL_GPU)
    if driver is None:
        return Finding(f"{build} finds no NVIDIA driver (no nvidia-smi)", DRIVER_PAGE)
    if build.missing_libraries:
        return Finding(
            f"{build} does not find {', '.join(build.missing_libraries)}",
            f'run: pip install "{build.package}[cuda,cudnn]"',
        )
    if not driver.gpus:
        return Finding(
            f"{driver} shows no GPU to this process", "check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    if _major(driver.cuda) < _major(build.cuda):
        return Finding(f"{driver} is too old for {build}", DRIVER_PAGE)
    if device == "tensorrt":
        return Finding(f"{build} does not find TensorRT (libnvinfer)", TENSORRT_PAGE)
    return Finding(f"{build} and {driver} are there", "see onnxruntime's own lines above")


def runtimes_finding() -> Finding | None:
    """Two onnxruntime distributions at once, whose files overwrite one another."""
    installed = [f"{name} {version}" for name, version in onnx_runtimes().items()]
    if len(installed) < 2:
        return None
    return Finding(f"{' and '.join(installed)} are both installed", INSTALL_GPU)


def torch_finding(torch: ModuleType, driver: NvidiaDriver | None) -> Finding | None:
    """What keeps an imported torch from the GPUs there are, or that there are none."""
    cuda = torch.version.cuda
    built = f"torch {torch.__version__} is built for {f'CUDA {cuda}' if cuda else 'CPUs'}"
    if driver is None:
        remedy = f"it runs on the CPU; for a GPU install a driver, {TORCH_PAGE}"
        return Finding(f"{built}, and there is no NVIDIA driver", remedy, "note") if cuda else None
    if not cuda:
        idle = ", ".join(gpu.name for gpu in driver.gpus) or "the GPU"
        return Finding(
            f"{built} and leaves {idle} idle", f"install its CUDA build, {TORCH_PAGE}", "note"
        )
    if not driver.gpus or torch_gpus(torch):
        return None
    old = _major(driver.cuda) < _major(cuda)
    return Finding(
        f"{built}: {f'{driver} is too old' if old else f'it sees no GPU through {driver}'}",
        f"update the driver or install a torch for CUDA {driver.cuda}, {TORCH_PAGE}",
    )


def torch_gpus(torch: ModuleType) -> int:
    """How many GPUs an imported torch can use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver, which `torch_finding` tells
        return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _major(version: str) -> int:
    """First number of a version, 0 if there is none."""
    digits = re.match(r"\d+", version)
    return int(digits.group()) if digits else 0


def nvidia_driver() -> NvidiaDriver | None:
    """The driver and its GPUs as nvidia-smi tells them, None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    which = (f"--id={visible}",) if visible else ()
    header = _told(program)
    query = (program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits", *which)
    table = "" if visible == "" else _told(*query)  # set and empty hides all
    version = re.search(r"Driver Version:\s*([\d.]+)", header)
    cuda = re.search(r"CUDA (?:UMD )?Version:\s*([\d.]+)", header)
    if version is None:
        return None
    return NvidiaDriver(
        version=version.group(1),
        cuda=cuda.group(1) if cuda else "",
        gpus=tuple(_gpu(row) for row in csv.reader(table.splitlines()) if len(row) == 3),
    )


def _gpu(row: list[str]) -> Gpu:
    name, total, free = (cell.strip() for cell in row)
    return Gpu(
        name=name,
        memory_mib=int(total) if total.isdigit() else 0,
        free_mib=int(free) if free.isdigit() else 0,
    )


def _told(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 – the full path that PATH gives nvidia-smi
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def free_memory_bytes(device: str) -> int:
    """Memory that a batch may still take on a device of PROVIDERS; 0 where nobody knows."""
    if device != "cpu":
        driver = nvidia_driver()
        return driver.gpus[0].free_mib * MIB if driver and driver.gpus else 0
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), 0)
    return min(free * 1024, _container_memory_bytes(free * 1024))


def _container_memory_bytes(otherwise: int) -> int:
    """What the control group leaves, where it limits memory."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return otherwise
    return otherwise if limit == "max" else max(int(limit) - used, 0)
