"""Classification forward pass against Hugging Face VideoMAE, same weights and inputs.

    python benchmarks/forward_vs_transformers.py --size base --batch 1 --repetitions 15

Goal: at most 0.87 of the peer's time, eager, CPU, float32.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from measuring import (
    interleave,
    machine,
    matmul,
    own_peak_memory,
    peak_memory,
    report,
    summary,
)
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from medicane_models.network.base import load_strictly
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.layouts import from_transformers
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.network.videomae import transformers_config

NAMES = ("transformers", "medicane-models")


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
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="base")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--memory-of", choices=NAMES)
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    options = arguments()
    dtype, config = getattr(torch, options.dtype), MedicaneConfig.preset(options.size)
    pixels = torch.randn(options.batch, *config.clip_shape, device=options.device)
    if options.memory_of:
        build = peer_model if options.memory_of == NAMES[0] else MedicaneForVideoClassification
        make = lambda: step_of(build(config).eval(), pixels, dtype)  # noqa: E731
        print(own_peak_memory(make, options.device))
        return
    peer = peer_model(config)
    models = dict(zip(NAMES, (peer, our_model(peer, config)), strict=True))
    steps = {name: step_of(model, pixels, dtype) for name, model in models.items()}
    difference = (steps[NAMES[0]]() - steps[NAMES[1]]()).abs().max().item()
    product, product_flops = matmul(options.device, dtype)
    seconds = interleave(steps | {"matmul": product}, options.repetitions, clock=options.clock)
    rate = product_flops / min(seconds.pop("matmul"))
    times = summary(seconds)
    given = ["--size", options.size, "--batch", str(options.batch)]
    given += ["--device", options.device, "--dtype", options.dtype]
    memory = {name: peak_memory(__file__, name, given) for name in NAMES}
    flops = options.batch * forward_flops(config)
    result = machine(options.device) | {
        "size": options.size,
        "batch": options.batch,
        "dtype": options.dtype,
        "clock": options.clock,
        "largest_difference_of_logits": difference,
        "matmul_gflops": rate / 1e9,
        "flops": flops,
        "times": times,
        "share_of_matmul_rate": {n: flops / t["fastest_s"] / rate for n, t in times.items()},
        "peak_memory_mb": memory,
    }
    rows = [
        ("model", "median s", "fastest s", "ratio", "of fastest", "share of matmul rate", "peak MB")
    ]
    rows += [
        (
            name,
            f"{times[name]['median_s']:.3f}",
            f"{times[name]['fastest_s']:.3f}",
            f"{times[name]['ratio']:.3f}",
            f"{times[name]['ratio_of_fastest']:.3f}",
            f"{result['share_of_matmul_rate'][name]:.2f}",
            f"{memory[name]:.0f}",
        )
        for name in NAMES
    ]
    kind = f"{options.device}_{options.dtype}_{options.size}_b{options.batch}_{options.clock}"
    report(f"forward_vs_transformers_{kind}", result, rows)


if __name__ == "__main__":
    main()
