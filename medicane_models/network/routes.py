"""Which library multiplies matrices fastest here: measured once, and kept.

PyTorch multiplies float32 matrices on CPUs with MKL and reaches oneDNN through an operator that
its own compiler emits. Which is faster is the processor's affair: on AMD's Zen 4 oneDNN takes 0.8
to 0.97 of the time with AVX-512, and a GELU on the way out is free; with AVX2 that GELU costs more
than PyTorch's own, and on older processors so do plain products (benchmarks/linear_routes.py).
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = ["LEAST_WORK", "Routes", "measured_routes", "onednn", "routes_here"]

LEAST_WORK = 2**24
"""Multiplications below which calling oneDNN costs more than it saves."""

SHAPE = (192, 768, 768)
TURNS = 5
CLEARLY = 0.98

Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True, kw_only=True)
class Routes:
    """What oneDNN does on this machine; PyTorch's own operators do the rest.

    Attributes:
        product: x · weightᵀ + bias.
        turned: the same with a transposed weight, as gradients of inputs have it.
        gelu: GELU(x · weightᵀ + bias) in one.
    """

    product: bool = False
    turned: bool = False
    gelu: bool = False


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None, then: str = "none") -> Tensor:
    """PyTorch's private operator of oneDNN: x · weightᵀ + bias, then perhaps ``"gelu"``."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "none")


@cache
def routes_here(threads: int) -> Routes:
    """The faster of the two, for so many threads, as kept on this machine or measured now.

    The first measurement stands, so that later processes compute the same bits.
    """
    path = _path(threads)
    if (kept := _read(path)) is not None:
        return kept
    # a thread of its own: gradients, transforms and modes of the caller end at it
    with ThreadPoolExecutor(1) as pool:
        measured = pool.submit(measured_routes, threads).result()
    return _keep(path, measured)


@torch.inference_mode()
def measured_routes(threads: int) -> Routes:
    """Measure, which takes 0.1 s; an operator that is absent or wrong is not faster."""
    torch.set_num_threads(threads)
    rows, inputs, outputs = SHAPE
    x, weight = torch.linspace(-1, 1, rows * inputs), torch.linspace(-1, 1, outputs * inputs)
    x, weight, bias = x.view(rows, inputs), weight.view(outputs, inputs), torch.ones(outputs)
    product = _is_faster(onednn, F.linear, x, weight, bias)
    best = onednn if product else F.linear
    return Routes(
        product=product,
        turned=_is_faster(onednn, F.linear, x, weight.t(), None),
        gelu=_is_faster(
            lambda x, weight, bias: onednn(x, weight, bias, "gelu"),
            lambda x, weight, bias: F.gelu(best(x, weight, bias)),
            x,
            weight,
            bias,
        ),
    )


def _is_faster(one: Linear, other: Linear, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    try:
        right = torch.allclose(one(x, weight, bias), other(x, weight, bias), rtol=1e-4, atol=1e-3)
    except (AttributeError, RuntimeError, TypeError):
        return False
    seconds = [[_seconds(step, x, weight, bias) for step in (one, other)] for _ in range(TURNS)]
    ours, theirs = map(min, zip(*seconds, strict=True))
    return right and ours < CLEARLY * theirs


def _seconds(step: Linear, x: Tensor, weight: Tensor, bias: Tensor | None) -> float:
    start = time.perf_counter()
    step(x, weight, bias)
    return time.perf_counter() - start


def _path(threads: int) -> Path:
    """A file for this processor, the limits it was given, these threads and this PyTorch."""
    limits = [os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")]
    capability = torch.backends.cpu.get_cpu_capability()
    told = [_processor(), capability, limits, threads, torch.__version__, SHAPE]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "medicane-models" / f"routes-{digest}.json"


def _processor() -> str:
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
        told = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
        return "\n".join(line for line in first if line.startswith(told))
    return platform.processor()


def _read(path: Path) -> Routes | None:
    with suppress(OSError, ValueError, TypeError):
        return Routes(**json.loads(path.read_text("utf-8")))
    return None


def _keep(path: Path, measured: Routes) -> Routes:
    """What is kept from now on: another process may have been first."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(measured)), "utf-8")
        if _read(path) is None:
            part.replace(path)
        part.unlink(missing_ok=True)
    return _read(path) or measured
