"""Training speed of trackers on infrared planes, beside a plain convolutional net's.

    python benchmarks/infrared_trackers.py [--batch 32] [--repetitions 3]

Forward and backward pass on one thread; the net, of one frame and 0.4 M parameters, is the one
that the infrared models are measured by.
"""

import argparse
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from measuring import interleave, machine, report
from timm.layers.conv_bn_act import ConvNormAct
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
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


class PlainNet(nn.Module):
    """Four stages of stride 2 and a top-down path to cells of two pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (16, 32, 64, 112)
        first = ConvNormAct(channels, widths[0], kernel_size=5, stride=2)
        later = (
            nn.Sequential(ConvNormAct(a, b, kernel_size=3, stride=2), BasicBlock(b, b))
            for a, b in pairwise(widths)
        )
        self.stages = nn.ModuleList((first, *later))
        self.laterals = nn.ModuleList(nn.Conv2d(width, 32, 1) for width in widths)
        self.last = nn.Conv2d(32, 1, 1)

    def forward(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b i j"]:
        """Logits of the cells."""
        views = [pixels.contiguous(memory_format=torch.channels_last)]
        for stage in self.stages:
            views.append(stage(views[-1]))
        *pairs, (lateral, coarsest) = zip(self.laterals, views[1:], strict=True)
        merged = lateral(coarsest)
        for lateral, view in reversed(pairs):
            merged = F.interpolate(merged, size=view.shape[2:], mode="bilinear") + lateral(view)
        return self.last(merged)[:, 0]


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
        F.cross_entropy(net(pixels).flatten(1), target).backward()

    return step


if __name__ == "__main__":
    main()
