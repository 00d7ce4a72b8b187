"""Training speed of trackers on infrared planes, beside a plain convolutional net's.

    python benchmarks/infrared_trackers.py [--batch 32] [--repetitions 3]

Forward and backward pass on one thread; the net, of one frame and 0.4 M parameters, is the one
that the infrared models are measured by.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from measuring import interleave, machine, report
from plain_tracker import PlainNet
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking

PLAIN = "plain net, 1 frame"
SIGMA_PX = 1.8
CANDIDATES: dict[str, dict[str, Any]] = {
    "infrared, 1 frame": {"num_frames": 1, "tubelet_size": 1},
    "infrared": {},
    "infrared, tubelet 1": {"tubelet_size": 1},
    "infrared, tubelet 2": {"tubelet_size": 2},
    "infrared, depth 4": {"depth": 4},
    "infrared, patch 8": {"patch_size": 8},
    "infrared, patch 8, 1 frame": {"patch_size": 8, "num_frames": 1, "tubelet_size": 1},
    "infrared, convolutional": {"stem": "convolutional"},
    "infrared-light, 1 frame": {"num_frames": 1, "tubelet_size": 1},
    "infrared-light": {},
}


def main() -> None:
    """Time all candidates in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    models = {name: _tracker(name) for name in CANDIDATES}
    steps = {name: _step(model, options.batch) for name, model in models.items()}
    plain = PlainNet(channels=2)
    seconds = interleave(
        {PLAIN: _plain_step(plain, options.batch)} | steps, options.repetitions, clock="cpu"
    )
    speeds = {name: options.batch / min(values) for name, values in seconds.items()}
    millions = {
        name: sum(parameter.numel() for parameter in model.parameters()) / 1e6
        for name, model in ({PLAIN: plain} | models).items()
    }
    rows = [("tracker", "M", "clips/s", "of the plain net's")]
    rows += [
        (name, f"{millions[name]:.2f}", f"{speed:.1f}", f"{speed / speeds[PLAIN]:.2f}")
        for name, speed in speeds.items()
    ]
    result = {**machine("cpu"), "batch": options.batch, "clips_per_second": speeds}
    report("infrared_trackers", result | {"millions_of_parameters": millions}, rows)


def _tracker(name: str) -> MedicaneForTracking:
    preset = name.partition(",")[0]
    config = MedicaneConfig.preset(preset, task="tracking", **CANDIDATES[name])
    return MedicaneForTracking(config).train()


def _step(model: MedicaneForTracking, batch: int) -> Callable[[], None]:
    pixels = torch.randn(batch, *model.config.clip_shape)
    centers, sigma = 111 * torch.rand(batch, 2), torch.full((batch,), SIGMA_PX)

    def step() -> None:
        model.zero_grad()
        loss = model(pixels, centers, label_sigma=sigma).loss
        assert loss is not None
        loss.backward()

    return step


def _plain_step(net: PlainNet, batch: int) -> Callable[[], None]:
    pixels = torch.randn(batch, 2, 112, 112)
    target = torch.rand(batch, 56 * 56).softmax(1)

    def step() -> None:
        net.zero_grad()
        cells, _ = net(pixels)
        F.cross_entropy(cells.flatten(1), target).backward()

    return step


if __name__ == "__main__":
    main()
