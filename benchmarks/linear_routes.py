"""Which public and private ways to a linear map are fastest here, by size of the matrices.

    python -m benchmarks linear_routes
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python -m benchmarks linear_routes

Times are ratios to `torch.nn.functional.linear`, on one thread. ``conv2d`` is the public way to
oneDNN, ``to_mkldnn`` another, with copies of input and output; ``packed`` keeps a second copy of
the weights in oneDNN's own order. The last two columns are with the exact GELU.
"""

from collections.abc import Callable

import torch
from measuring import interleave, machine, report
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.routes import measured_routes, onednn

PYTORCH = "F.linear"
WEIGHTS = ((192, 768), (768, 768), (768, 3072), (3072, 768))
ROWS = (98, 392, 1568)


def ways(rows: int, inputs: int, outputs: int) -> dict[str, Callable[[], torch.Tensor]]:
    """All ways, on random matrices."""
    x, weight, bias = (
        torch.randn(1, rows, inputs),
        torch.randn(outputs, inputs),
        torch.zeros(outputs),
    )
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    there = weight.to_mkldnn(), bias.to_mkldnn()
    kernel = weight[:, :, None, None]
    return {
        PYTORCH: lambda: F.linear(x, weight, bias),
        "oneDNN": lambda: onednn(x, weight, bias),
        "packed": lambda: onednn(x, packed, bias),
        "to_mkldnn": lambda: F.linear(x.to_mkldnn(), *there).to_dense(),
        "conv2d": lambda: F.conv2d(x.transpose(1, 2)[:, :, None], kernel, bias),
        "F.linear, GELU": lambda: F.gelu(F.linear(x, weight, bias)),
        "oneDNN, GELU": lambda: onednn(x, weight, bias, "gelu"),
    }


@torch.inference_mode()
def main() -> None:
    """Measure, print and keep."""
    found: dict[str, dict[str, float]] = {}
    for inputs, outputs in WEIGHTS:
        for rows in ROWS:
            turns = max(5, int(4e9 / (rows * inputs * outputs)))
            seconds = interleave(ways(rows, inputs, outputs), min(turns, 40), clock="cpu")
            fastest = {name: min(values) for name, values in seconds.items()}
            found[f"{rows} × {inputs} → {outputs}"] = {
                name: value / fastest[PYTORCH] for name, value in fastest.items()
            }
    names = list(next(iter(found.values())))
    table = [("rows × inputs → outputs", *names)]
    table += [(size, *(f"{one[name]:.2f}" for name in names)) for size, one in found.items()]
    chosen = vars(measured_routes(1))
    told = machine("cpu")
    result = {**told, "chosen": chosen, "of_f_linear": found}
    kind = told["instructions"].replace(" ", "_").lower()
    report(f"linear_routes_{kind}", result, table)
    print(f"chosen on this machine: {chosen}")


if __name__ == "__main__":
    main()
