"""Classification forward pass against Hugging Face VideoMAE, same weights and inputs.

    python -m benchmarks forward_vs_transformers --size base --batches 1 4 16

Goal: at most 0.85 of the peer's time, eager, CPU, float32; 0.92 for base without AVX-512.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from measuring import (
    interleave,
    keep,
    matmul,
    own_peak_memory,
    peak_memory,
    print_table,
    ratios,
    summary,
)
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from medicane_models.network.base import load_strictly
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.layouts import from_transformers
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.network.videomae import transformers_config

NAMES: tuple[str, str] = ("transformers", "medicane-models")


def forward_flops(config: MedicaneConfig) -> float:
    """Multiplications and additions of one clip, counting every token through every layer."""
    n, d, hidden = config.num_tokens, config.embed_dim, config.mlp_hidden_dim
    block = n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d
    return 2 * (n * config.token_values * d + config.depth * block)


def peer_model(config: MedicaneConfig) -> VideoMAEForVideoClassification:
    """Hugging Face's model with random weights."""
    torch.manual_seed(0)
    settings: dict[str, Any] = transformers_config(config)
    settings["attn_implementation"] = "sdpa"
    return VideoMAEForVideoClassification(VideoMAEConfig(**settings)).eval()


def our_model(
    peer: VideoMAEForVideoClassification, config: MedicaneConfig
) -> MedicaneForVideoClassification:
    """Ours with the same weights."""
    weights = from_transformers(peer.state_dict())
    return load_strictly(MedicaneForVideoClassification, config, weights, "the peer")


def step_of(
    model: torch.nn.Module, pixels: torch.Tensor, dtype: torch.dtype
) -> Callable[[], torch.Tensor]:
    """One forward pass."""
    model = model.to(pixels.device, dtype)
    inputs = pixels.to(dtype)

    @torch.inference_mode()
    def step() -> torch.Tensor:
        return model(inputs).logits

    return step


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="base")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repetitions", type=int, default=15, help="of batches of one clip")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--memory-of", choices=NAMES)
    return parser.parse_args()


def measure(
    models: Mapping[str, torch.nn.Module], batch: int, options: argparse.Namespace
) -> tuple[dict[str, float], dict[str, Any]]:
    """The row of one batch size, and what lies behind it."""
    dtype, config = getattr(torch, options.dtype), MedicaneConfig.preset(options.size)
    pixels = torch.randn(batch, *config.clip_shape, device=options.device)
    steps = {name: step_of(model, pixels, dtype) for name, model in models.items()}
    product, product_flops = matmul(options.device, dtype)
    turns = max(options.repetitions // batch, 2)
    is_first = batch == options.batches[0]
    seconds = interleave(steps | {"matmul": product}, turns, clock=options.clock, warm_up=is_first)
    rate = product_flops / min(seconds.pop("matmul"))
    times, flops = summary(seconds), batch * forward_flops(config)
    apart = (steps[NAMES[0]]() - steps[NAMES[1]]()).abs().max() if batch == 1 else None
    return ratios(seconds, NAMES[1], NAMES[0]), {
        "turns": turns,
        "largest_difference_of_logits": None if apart is None else apart.item(),
        "matmul_gflops": rate / 1e9,
        "share_of_matmul_rate": {n: flops / t["fastest_s"] / rate for n, t in times.items()},
        "times": times,
    }


def main() -> None:
    """Measure and report."""
    options = arguments()
    config = MedicaneConfig.preset(options.size)
    if options.memory_of:
        build = peer_model if options.memory_of == NAMES[0] else MedicaneForVideoClassification
        pixels = torch.randn(1, *config.clip_shape, device=options.device)
        dtype = getattr(torch, options.dtype)
        make = lambda: step_of(build(config).eval(), pixels, dtype)  # noqa: E731
        print(own_peak_memory(make, options.device))
        return
    peer = peer_model(config)
    models = dict(zip(NAMES, (peer, our_model(peer, config)), strict=True))
    found = {batch: measure(models, batch, options) for batch in options.batches}
    given = ["--size", options.size, "--device", options.device, "--dtype", options.dtype]
    details = {
        "dtype": options.dtype,
        "clock": options.clock,
        "peak_memory_mb": {name: peak_memory(__file__, name, given) for name in NAMES},
        "batches": {batch: behind for batch, (_, behind) in found.items()},
    }
    print_table(table_of(details["batches"]))
    print(details["peak_memory_mb"], file=sys.stderr)
    rows = {f"forward {options.size} {batch}": row for batch, (row, _) in found.items()}
    keep(f"forward_{options.size}", rows, details, options.device)


def table_of(batches: Mapping[int, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """What is printed."""
    rows = [("model", "batch", "median s", "fastest s", "ratio", "of fastest", "of matmul rate")]
    rows += [
        (
            name,
            str(batch),
            *(f"{time[key]:.3f}" for key in ("median_s", "fastest_s", "ratio", "ratio_of_fastest")),
            f"{found['share_of_matmul_rate'][name]:.2f}",
        )
        for batch, found in batches.items()
        for name, time in found["times"].items()
    ]
    return rows


if __name__ == "__main__":
    main()
