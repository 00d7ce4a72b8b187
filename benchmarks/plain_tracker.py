"""A plain convolutional net that the infrared pair is measured by: 0.4 M parameters, one frame.

It is trained by the package's own loop on the pair's clips, views and split, and judged by the same
code. The net has four stages of stride 2, a top-down path to cells of two pixels, and tells whether
there is a cyclone from the mean of the last stage. The loss is the cross-entropy of the heat map
with a Gaussian as wide as the label is unsure, a little of the distance to its mean position, and
half the cross-entropy of the presence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from timm.layers.conv_bn_act import ConvNormAct
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.averaging import VIEWS, View
from medicane_models.network.base import MedicaneModel
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.heads import HeatmapHead
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.network.outputs import TrackingOutput
from medicane_training.clips.batches import ClipBatch
from medicane_training.engines.interface import Forward
from medicane_training.flows.initial_model import start_config
from medicane_training.flows.interface import Step, Table
from medicane_training.flows.tracking import TrackingFlow, trackable
from medicane_training.recipes.kinds import TrackingRecipe
from medicane_training.store.labels import CYCLONE, IGNORE

WIDTHS = (16, 32, 64, 112)
MERGED = 32
DROPOUT = 0.2
CELL_PX = 2
POSITION_WEIGHT, PRESENCE_WEIGHT = 0.04, 0.5  # .004 a kilometre
NEAR_PX = 2.0  # from where on the distance counts as it is: 20 km


class PlainNet(nn.Module):
    """Four stages of stride 2 and a top-down path to cells of two pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = ConvNormAct(channels, WIDTHS[0], kernel_size=5, stride=2)
        later = (
            nn.Sequential(ConvNormAct(a, b, kernel_size=3, stride=2), BasicBlock(b, b))
            for a, b in pairwise(WIDTHS)
        )
        self.stages = nn.ModuleList((first, *later))
        self.laterals = nn.ModuleList(nn.Conv2d(width, MERGED, 1) for width in WIDTHS)
        self.last = nn.Conv2d(MERGED, 1, 1)
        self.presence = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(WIDTHS[-1], 1))

    def forward(
        self, pixels: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b i j"], Float[Tensor, " b"]]:
        """Logits of the cells and of a cyclone."""
        views = [pixels.contiguous(memory_format=torch.channels_last)]
        for stage in self.stages:
            views.append(stage(views[-1]))
        presence = self.presence(views[-1].mean((2, 3)))[:, 0]
        *pairs, (lateral, coarsest) = zip(self.laterals, views[1:], strict=True)
        merged = lateral(coarsest)
        for lateral, view in reversed(pairs):
            merged = F.interpolate(merged, size=view.shape[2:], mode="bilinear") + lateral(view)
        return self.last(merged)[:, 0], presence


class PlainHead(HeatmapHead):
    """The loss and the centre of a heat map that is made elsewhere, of cells inside the tile."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # nothing to learn
        self.cell_px = CELL_PX
        self.origin_px = ((CELL_PX - 1) / 2,) * 2
        self.center_kind = "mode"
        self.temperature = 1.0
        self.offset = False

    def mean_position(self, heatmap: Float[Tensor, "b i j"]) -> Float[Tensor, "b 2"]:
        """In pixels of the tile."""
        return (heatmap[:, None] * self._middles(heatmap)).sum((2, 3))


class PlainTracker(MedicaneForTracking):
    """The net as a tracker that reads the newest frame alone; its configuration says how clips are.

    What it says of tokens, blocks and heads means nothing here.
    """

    def __init__(self, config: MedicaneConfig) -> None:
        nn.Module.__init__(self)  # none of the transformer
        self.config, self.clip_shape = config, config.clip_shape
        self.net = PlainNet(config.in_channels)
        self.head = PlainHead()

    def forward_both(
        self, pixel_values: Float[Tensor, "b t c h w"]
    ) -> tuple[Float[Tensor, "b i j"], Float[Tensor, " b"]]:
        """Logits of the cells and of a cyclone."""
        self.check_shape(pixel_values)
        return self.net(pixel_values[:, -1])

    def forward_raw(self, pixel_values: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b i j"]:
        """Logits of the cells."""
        return self.forward_both(pixel_values)[0]

    def forward(
        self,
        pixel_values: Float[Tensor, "b t c h w"],
        labels: Float[Tensor, "b 2"] | None = None,
        *,
        label_sigma: Float[Tensor, " b"] | None = None,
        label_weight: Float[Tensor, " b"] | None = None,
        presence: Float[Tensor, " b"] | None = None,
    ) -> TrackingOutput:
        """As that of `MedicaneForTracking`; centres are NaN where there is none.

        Args:
            pixel_values: likewise.
            labels: likewise.
            label_sigma: likewise.
            label_weight: likewise.
            presence: 1 where there is a cyclone, else 0.
        """
        cells, there = self.forward_both(pixel_values)
        output = self.head.decode(cells)
        if labels is None:
            return output
        known = labels.isfinite().all(1)
        sigma, weight = (v if v is None else v[known] for v in (label_sigma, label_weight))
        loss = self.head.loss(cells[known], labels[known], sigma, weight)
        assert output.heatmap is not None
        assert isinstance(self.head, PlainHead)
        mean_px = self.head.mean_position(output.heatmap[known])
        apart_px = F.smooth_l1_loss(mean_px, labels[known], beta=NEAR_PX)
        loss = loss + POSITION_WEIGHT * apart_px
        if presence is not None:
            loss = loss + PRESENCE_WEIGHT * F.binary_cross_entropy_with_logits(there, presence)
        return replace(output, loss=loss)


class PlainFlow(TrackingFlow):
    """Trains the net on cyclones and on weather without one; centres are judged of cyclones."""

    model_class: ClassVar[type[MedicaneModel]] = PlainTracker

    @staticmethod
    def eligible(clips: pd.DataFrame) -> Bool[np.ndarray, " clips"]:
        """All with a label."""
        return (clips["label"] != IGNORE).to_numpy()

    def make_model(self) -> tuple[PlainTracker, None]:
        """From random weights."""
        processor = self.clips.processor
        model = PlainTracker(
            start_config(MedicaneForTracking, self.recipe.model, processor=processor)
        )
        model.processor = processor
        return model.train(), None

    def loss(self, forward: Forward, batch: ClipBatch, step: Step) -> Tensor:
        """Of places and of presence."""
        pixels, centers = batch.pixel_values(self.clips.processor)
        sigma, weight = self._sureness(batch)
        there = (batch.label == CYCLONE).float()
        labels = {"labels": centers, "label_sigma": sigma, "label_weight": weight}
        return forward(pixels, **labels, presence=there).loss

    def judge(self, model: MedicaneModel, batch: ClipBatch) -> dict[str, np.ndarray]:
        """As the tracker's, and ``presence``, the probability of a cyclone."""
        presence = self._presence(model, batch, VIEWS["one"])
        return {**super().judge(model, batch), "presence": presence}

    def judge_released(self, model: MedicaneModel, batch: ClipBatch) -> dict[str, np.ndarray]:
        """The same by the model's views."""
        presence = self._presence(model, batch, VIEWS[model.config.views])
        return {**super().judge_released(model, batch), "presence": presence}

    def _presence(
        self, model: MedicaneModel, batch: ClipBatch, views: Sequence[View]
    ) -> np.ndarray:
        assert isinstance(model, PlainTracker)
        pixels, _ = batch.pixel_values(self.clips.processor)
        shown = (view.apply(pixels, model.config.frame_size) for view in views)
        found = [model.forward_both(view)[1].sigmoid() for view in shown]
        return torch.stack(found).mean(0).float().cpu().numpy()

    def score(self, table: Table) -> dict[str, float]:
        """Of cyclones."""
        return super().score(self._tracked(table))

    def report(self, model: MedicaneModel, judged: Table) -> dict[str, Any]:
        """Of cyclones."""
        return super().report(model, self._tracked(judged))

    def pictured(self, most: int) -> Int[np.ndarray, " n"]:
        """Of cyclones."""
        rows = self.clips.rows("validation")
        rows = rows[trackable(self.clips.store.clips.iloc[rows])]
        return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]

    def _tracked(self, table: Table) -> Table:
        clips = self.clips.store.clips.iloc[table["clip"].to_numpy(int)]
        return table.loc[trackable(clips)].reset_index(drop=True)


def plain_recipe(recipe: TrackingRecipe) -> TrackingRecipe:
    """A tracker's recipe with weather added, so that as many cyclones are seen as by the tracker.

    The optimiser's settings are the net's own, which the recipe has taken over from it.
    """
    data = recipe.data
    assert data.samples is not None  # the recipes for planes say how many
    shares: Mapping[str, float] = data.stratum_shares
    samples = round(data.samples * sum(shares.values()) / shares["cyclone"])
    return replace(recipe, data=replace(data, samples=samples))
