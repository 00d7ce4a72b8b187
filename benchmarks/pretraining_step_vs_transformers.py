"""Masked pretraining step against Hugging Face VideoMAE: forward and backward, same sizes.

    python -m benchmarks pretraining_step_vs_transformers --size base --batch 4 --repetitions 9

Ours masks 90 % for the encoder and half for the decoder; the peer can mask for the encoder only.
Goals: at most 0.55 of the peer's time and 0.6 of its peak memory, CPU, float32.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from measuring import (
    MEGABYTE,
    interleave,
    keep,
    matmul,
    own_peak_memory,
    peak_memory,
    print_table,
    ratios,
    summary,
)
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from medicane_models.network.blocks import compile_blocks
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.masking import running_cell_mask, tube_mask
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.network.videomae import transformers_config

NAMES = ("transformers", "medicane-models")
Step = Callable[[torch.Tensor], None]


def step_flops(config: MedicaneConfig, seen: int, asked: int, scored: int) -> float:
    """Multiplications and additions of one clip's step, three passes of the forward one's."""
    d, hidden, depth = config.embed_dim, config.mlp_hidden_dim, config.depth
    e, wide, blocks = (
        config.decoder_embed_dim, config.decoder_mlp_hidden_dim, config.decoder_depth,
    )  # fmt: skip
    n = seen + asked
    encoder = seen * config.token_values * d
    encoder += depth * (seen * (4 * d * d + 2 * d * hidden) + 2 * seen * seen * d)
    whole = n * (4 * e * e + 2 * e * wide) + 2 * n * n * e
    last = n * 2 * e * e + scored * (2 * e * e + 2 * e * wide) + 2 * n * scored * e
    head = scored * e * config.token_values
    return 3 * 2 * (encoder + (blocks - 1) * whole + last + head)


def peer_step(config: MedicaneConfig, batch: int, device: str) -> Step:
    """The peer's step."""
    torch.manual_seed(0)
    settings = transformers_config(config.replace(task="pretraining"))
    settings["attn_implementation"] = "sdpa"
    model = torch.nn.Module.to(VideoMAEForPreTraining(VideoMAEConfig(**settings)), device).train()
    mask = tube_mask(config.token_grid, 0.9, clips=batch).to(device)
    return lambda pixels: _step(model, pixels, mask)


def our_step(config: MedicaneConfig, batch: int, device: str, compiler: str | None = None) -> Step:
    """Our step, its blocks perhaps compiled."""
    torch.manual_seed(0)
    model = MedicaneForPreTraining(config).to(device)
    if compiler is not None:
        compile_blocks(model, backend=compiler, dynamic=False)
    masks = (
        tube_mask(config.token_grid, 0.9, clips=batch),
        running_cell_mask(config.token_grid, 0.5, clips=batch),
    )
    return lambda pixels: _step(model, pixels, *masks)


def held_mb(name: str, config: MedicaneConfig) -> float:
    """Megabytes of weights and gradients in float32, which no step can do without."""
    settings = transformers_config(config.replace(task="pretraining"))
    with torch.device("meta"):
        peer = VideoMAEForPreTraining(VideoMAEConfig(**settings))
        model = peer if name == NAMES[0] else MedicaneForPreTraining(config)
    return 2 * 4 * sum(p.numel() for p in model.parameters() if p.requires_grad) / MEGABYTE


BUILDERS = {NAMES[0]: peer_step, NAMES[1]: our_step}


def _step(model: torch.nn.Module, pixels: torch.Tensor, *masks: torch.Tensor) -> None:
    model.zero_grad()
    model(pixels, *masks).loss.backward()


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="base")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--memory-of", choices=NAMES)
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    options = arguments()
    config = MedicaneConfig.preset(options.size)
    pixels = torch.randn(options.batch, *config.clip_shape, device=options.device)

    def build(name: Any) -> Callable[[], object]:
        step = BUILDERS[name](config, options.batch, options.device)

        def run() -> None:
            dtype = getattr(torch, options.dtype)
            with torch.autocast(options.device, dtype, enabled=options.dtype != "float32"):
                step(pixels)

        return run

    if options.memory_of:
        print(own_peak_memory(lambda: build(options.memory_of), options.device))
        return
    product, product_flops = matmul(options.device, getattr(torch, options.dtype))
    steps = {name: build(name) for name in NAMES}
    seconds = interleave(steps | {"matmul": product}, options.repetitions, clock=options.clock)
    rate = product_flops / min(seconds.pop("matmul"))
    times = summary(seconds)
    given = ["--size", options.size, "--batch", str(options.batch)]
    given += ["--device", options.device, "--dtype", options.dtype]
    memory = {name: peak_memory(__file__, name, given) for name in NAMES}
    beyond = {name: memory[name] - held_mb(name, config) for name in NAMES}
    tokens, cells = config.num_tokens, config.num_tokens // config.token_grid[0]
    seen = (cells - int(0.9 * cells)) * config.token_grid[0]
    hidden = tokens - seen
    flops = {
        NAMES[0]: options.batch * step_flops(config, seen, hidden, hidden),
        NAMES[1]: options.batch * step_flops(config, seen, tokens // 2, hidden // 2),
    }
    share = {name: flops[name] / times[name]["fastest_s"] / rate for name in NAMES}
    details = {
        "size": options.size,
        "batch": options.batch,
        "dtype": options.dtype,
        "clock": options.clock,
        "matmul_gflops": rate / 1e9,
        "flops": flops,
        "ratio_of_flops": flops[NAMES[1]] / flops[NAMES[0]],
        "times": times,
        "share_of_matmul_rate": share,
        "peak_memory_mb": memory,
        "ratio_of_memory": memory[NAMES[1]] / memory[NAMES[0]],
        "beyond_weights_and_gradients_mb": beyond,
    }
    rows = [
        (
            "model",
            "median s",
            "fastest s",
            "ratio",
            "of fastest",
            "share of matmul rate",
            "peak MB",
            "ratio",
        )
    ]
    rows += [
        (
            name,
            f"{times[name]['median_s']:.3f}",
            f"{times[name]['fastest_s']:.3f}",
            f"{times[name]['ratio']:.3f}",
            f"{times[name]['ratio_of_fastest']:.3f}",
            f"{share[name]:.2f}",
            f"{memory[name]:.0f}",
            f"{memory[name] / memory[NAMES[0]]:.2f}",
        )
        for name in NAMES
    ]
    print_table(rows)
    kept = {
        f"pretraining time {options.batch}": ratios(seconds, NAMES[1], NAMES[0]),
        f"pretraining memory {options.batch}": {"value": beyond[NAMES[1]] / beyond[NAMES[0]]},
    }
    keep(f"pretraining_step_{options.batch}", kept, details, options.device)


if __name__ == "__main__":
    main()
