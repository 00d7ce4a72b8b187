"""Linear maps, on CPUs by the faster of PyTorch's own operator and oneDNN's.

`network.routes` tells which that is. Where oneDNN's operator, which is private, is absent or does
not apply, PyTorch's own linear map runs.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.routes import LEAST_WORK, Routes, onednn, routes_here

__all__ = ["linear", "linear_gelu"]


def linear(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None
) -> Float[Tensor, "*batch o"]:
    """The product x · weightᵀ + bias."""
    if not (_applies(x, weight) and _by_onednn(weight)):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return onednn(x, weight, bias)


def linear_gelu(
    x: Float[Tensor, "*batch i"], weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None
) -> Float[Tensor, "*batch o"]:
    """GELU(x · weightᵀ + bias), the exact GELU."""
    if not torch.is_grad_enabled() and _applies(x, weight) and _routes().gelu:
        return onednn(x, weight, bias, "gelu")
    return F.gelu(linear(x, weight, bias))


def _routes() -> Routes:
    return routes_here(torch.get_num_threads())


def _by_onednn(weight: Tensor) -> bool:
    return _routes().product if weight.is_contiguous() else _routes().turned


def _applies(x: Tensor, weight: Tensor) -> bool:
    return bool(
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.ndim > 1
        and not torch.compiler.is_compiling()  # which is so during export, where sizes are symbols
        and x.numel() * len(weight) >= LEAST_WORK
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.enabled
        # derivatives that run forward, which the operator would drop in silence
        and forward_ad._current_level < 0
    )


class _Linear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return onednn(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)  # (n, o)
        return (
            linear(gradient, weight.t(), None) if for_x else None,
            rows.t() @ x.flatten(0, -2) if for_weight else None,
            rows.sum(0) if for_bias else None,
        )
