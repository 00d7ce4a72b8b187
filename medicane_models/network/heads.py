"""Heads that turn tokens into the centre of a cyclone, both with the same four methods.

``pool`` gathers tokens, ``forward`` maps them to raw outputs, ``loss`` compares those with true
centres and ``decode`` turns them into a centre with its covariance; ``last_layers`` are those that
start near 0. Shapes: b clips, n tokens, d features, r and k rows and columns of patches, i and j
rows and columns of heatmap cells.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.outputs import TrackingOutput

__all__ = ["HeatmapHead", "RegressionHead", "make_tracking_head"]

Newest = Sequence[Float[Tensor, "b _ _ _"]]
"""What the stem's stages see in the newest frame, finest first; nothing without a stem."""

MODE_RADIUS_CELLS = 4
"""Half the width of the window around the peak whose mean is the mode's sub-cell position."""


class RegressionHead(nn.Module):
    """LayerNorm and a linear map to (x, y), as the research code has it.

    The outputs are standardised by the configuration, so that the loss is of order one whatever
    the tile's size; a mean of 0 and a scale of 1 give the research head, whose loss is in px².
    """

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        height, width = config.frame_size
        self.mlp = nn.Sequential(
            nn.LayerNorm(config.embed_dim, eps=1e-5), nn.Linear(config.embed_dim, 2)
        )
        self.mean = config.center_mean_px or ((width - 1) / 2, (height - 1) / 2)
        self.scale = config.center_scale_px or (width / math.sqrt(12), height / math.sqrt(12))
        self.error_covariance = config.error_covariance_px or ((math.nan,) * 2,) * 2

    def pool(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """Mean over all tokens."""
        return tokens.mean(1)

    @property
    def last_layers(self) -> tuple[nn.Module, ...]:
        """The linear map."""
        return (self.mlp,)

    def forward(self, pooled: Float[Tensor, "b d"], _newest: Newest = ()) -> Float[Tensor, "b 2"]:
        """Standardised (x, y)."""
        return self.mlp(pooled)

    def loss(
        self,
        raw: Float[Tensor, "b 2"],
        centers: Float[Tensor, "b 2"],
        sigma: Float[Tensor, " b"] | None = None,
        weight: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean squared error of the standardised coordinates.

        Raises:
            ConfigurationError: widths of targets are given.
        """
        if sigma is not None:
            raise ConfigurationError(
                "a regression head's squared error knows no width of a target; leave label_sigma "
                "out, or set head to heatmap"
            )
        target = (centers - centers.new_tensor(self.mean)) / centers.new_tensor(self.scale)
        return _weighted((raw.float() - target.float()).square().mean(1), weight)

    def decode(
        self, raw: Float[Tensor, "b 2"], loss: Float[Tensor, ""] | None = None
    ) -> TrackingOutput:
        """Tile pixels, with the covariance measured on validation storms."""
        raw = raw.float()
        center = raw * raw.new_tensor(self.scale) + raw.new_tensor(self.mean)
        covariance = raw.new_tensor(self.error_covariance).expand(raw.shape[0], 2, 2)
        return TrackingOutput(loss=loss, center=center, covariance=covariance)


class HeatmapHead(nn.Module):
    """A distribution of the centre over cells of a few pixels.

    The density is a sum of pyramids, one on each cell's middle and as wide as two cells, weighted
    by the cells' probabilities. It is continuous, its mean is that of the cells, and its
    likelihood is a proper score. The cells reach one patch beyond the tile, so that a centre just
    outside is told apart from one at the edge; farther ones count as on the outermost cells.

    With ``heatmap_features`` a top-down path over the stem's view of the newest frame adds to the
    cells inside the tile. With ``heatmap_offset`` there are three raw outputs a cell: its logit,
    and how far, up to one cell in x and y, a centre near it would be from its middle; the
    pyramids are moved so where the distribution is decoded.
    """

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        self.grid = config.token_grid
        self.cell_px = config.heatmap_stride
        self.upscale = config.patch_size // config.heatmap_stride
        self.center_kind = config.heatmap_center
        self.temperature = config.temperature
        self.offset = config.heatmap_offset
        self.origin_px = (config.heatmap_first_px, config.heatmap_first_px)
        self.time_weight = nn.Parameter(torch.full((self.grid[0],), 1 / self.grid[0]))
        outputs = 3 if self.offset else 1
        # padding by two puts a ring of patches around the tile, told from it by their neighbours
        self.conv = nn.Conv2d(config.embed_dim, outputs * self.upscale**2, kernel_size=3, padding=2)
        self.finer = TopDown(config, outputs) if config.heatmap_features else None

    @property
    def last_layers(self) -> tuple[nn.Module, ...]:
        """The maps of patches and of the finest features to cells."""
        return (self.conv,) if self.finer is None else (self.conv, self.finer.last)

    def pool(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b r k d"]:
        """Weighted mean over time, one weight a token frame."""
        return torch.einsum("btrkd,t->brkd", tokens.unflatten(1, self.grid), self.time_weight)

    def forward(
        self, pooled: Float[Tensor, "b r k d"], newest: Newest = ()
    ) -> Float[Tensor, "b *three i j"]:
        """Logits of the cells; with their offsets (b, 3, i, j) before the hyperbolic tangent."""
        patches = pooled.permute(0, 3, 1, 2)  # (b, d, r, k)
        cells = F.pixel_shuffle(self.conv(patches), self.upscale)  # (b, outputs, i, j)
        if self.finer is not None:
            cells = cells + F.pad(self.finer(patches, newest), [self.upscale] * 4)
        return cells if self.offset else cells[:, 0]

    def loss(
        self,
        raw: Float[Tensor, "b *three i j"],
        centers: Float[Tensor, "b 2"],
        sigma: Float[Tensor, " b"] | None = None,
        weight: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, ""]:
        """Negative logarithm of the density at the true centre, nats for a density per px².

        Where the true centre is only known to lie about ``centers`` with a standard deviation
        ``sigma``, px, it is the expectation over where it may be, to the width of a cell: the
        cross-entropy with a Gaussian. Offsets add their distance from the true one, in cells.

        Args:
            raw: outputs of the head.
            centers: (x, y) in tile pixels.
            sigma: None takes the centres for the truth.
            weight: of each clip; None is 1 for all.
        """
        logits, offsets = self._parts(raw)
        log_probability = _log_softmax(logits)
        near = self._over_cells(logits, centers, _bilinear, self.cell_px)  # four of them not 0
        if sigma is None:
            log_density = (log_probability + near.log()).flatten(1).logsumexp(1)
        else:
            width = (sigma.float().square() + self.cell_px**2 / 6).sqrt()[:, None]
            target = self._over_cells(logits, centers, _gaussian, width)
            log_density = (target * log_probability).sum((1, 2))
        loss = 2 * math.log(self.cell_px) - log_density  # (b,)
        if offsets is not None:
            true = (centers.float()[:, :, None, None] - self._middles(logits)) / self.cell_px
            apart = (offsets - true.clamp(-1, 1)).abs().sum(1)  # (b, i, j)
            loss = loss + (near * apart).sum((1, 2))
        return _weighted(loss, weight)

    def decode(
        self, raw: Float[Tensor, "b *three i j"], loss: Float[Tensor, ""] | None = None
    ) -> TrackingOutput:
        """The centre and the distribution's second moment about it."""
        logits, offsets = self._parts(raw)
        probability = _log_softmax(logits / self.temperature).exp()
        middles = self._middles(probability)  # (2, i, j)
        places = middles if offsets is None else middles + offsets * self.cell_px
        around = _near_peak(probability) if self.center_kind == "mode" else probability
        center = (around[:, None] * places).sum((2, 3))  # (b, 2)
        apart = places - center[:, :, None, None]  # (b, 2, i, j)
        moment = (probability[:, None] * apart).flatten(2) @ apart.flatten(2).mT
        within_cell = self.cell_px**2 / 6  # variance of a pyramid two cells wide
        return TrackingOutput(
            loss=loss,
            center=center,
            covariance=moment + within_cell * torch.eye(2, device=center.device),
            heatmap=probability,
            cell_px=self.cell_px,
            origin_px=self.origin_px,
        )

    def mean(self, raw: Sequence[Float[Tensor, "b *three i j"]]) -> Float[Tensor, "b *three i j"]:
        """Outputs whose distribution at temperature 1 is the mean of several, as are offsets."""
        maps = [_log_softmax(self._parts(one)[0]) for one in raw]
        logits = torch.stack(maps).logsumexp(0)
        if not self.offset:
            return logits
        offsets = torch.stack([one[:, 1:] for one in raw]).mean(0)
        return torch.cat((logits[:, None], offsets), 1)

    def _parts(
        self, raw: Float[Tensor, "b *three i j"]
    ) -> tuple[Float[Tensor, "b i j"], Float[Tensor, "b 2 i j"] | None]:
        """Logits and, in cells along x and y, offsets."""
        return (raw[:, 0], raw[:, 1:].float().tanh()) if self.offset else (raw, None)

    def _middles(self, cells: Float[Tensor, "b i j"]) -> Float[Tensor, "2 i j"]:
        """Tile pixels (x, y) of the cells' middles."""
        x, y = self._axes(cells)
        return torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))))

    def _axes(
        self, cells: Float[Tensor, "b i j"]
    ) -> tuple[Float[Tensor, " j"], Float[Tensor, " i"]]:
        # not a buffer: a model in bfloat16 would round it to whole pixels
        rows, columns = (
            torch.arange(n, device=cells.device, dtype=torch.float32) for n in cells.shape[1:]
        )
        return columns * self.cell_px + self.origin_px[0], rows * self.cell_px + self.origin_px[1]

    def _over_cells(
        self,
        cells: Float[Tensor, "b i j"],
        centers: Float[Tensor, "b 2"],
        kernel: Callable[[Tensor, Any], Tensor],
        width: Any,
    ) -> Float[Tensor, "b i j"]:
        """The product of a kernel about the centres along x and along y."""
        columns, rows = (
            kernel(position.float().clamp(middles[0], middles[-1])[:, None] - middles, width)
            for position, middles in zip(centers.unbind(1), self._axes(cells), strict=True)
        )
        return rows[:, :, None] * columns[:, None, :]


class TopDown(nn.Module):
    """From tokens to cells, past all finer features of a stem (arXiv:1612.03144)."""

    def __init__(self, config: MedicaneConfig, outputs: int) -> None:
        super().__init__()
        self.skipped = config.heatmap_stride.bit_length() - 2  # stages finer than the cells
        widths = config.stem_widths[self.skipped :]
        width = widths[0]
        self.tokens = nn.Conv2d(config.embed_dim, width, kernel_size=1)
        self.laterals = nn.ModuleList(nn.Conv2d(each, width, kernel_size=1) for each in widths)
        self.last = nn.Conv2d(width, outputs, kernel_size=3, padding=1)

    def forward(
        self, patches: Float[Tensor, "b d r k"], newest: Newest
    ) -> Float[Tensor, "b outputs i j"]:
        """Outputs of the cells inside the tile.

        Raises:
            ConfigurationError: there are no features to read.
        """
        if len(newest) != self.skipped + len(self.laterals):
            raise ConfigurationError(
                "the head reads heatmap_features; give forward_head those of newest, or call "
                "forward_raw"
            )
        merged = self.tokens(patches)
        views = zip(self.laterals, newest[self.skipped :], strict=True)
        for lateral, view in reversed(list(views)):
            merged = F.interpolate(merged, size=view.shape[2:], mode="bilinear") + lateral(view)
        return self.last(merged.relu())


def make_tracking_head(config: MedicaneConfig) -> RegressionHead | HeatmapHead:
    """The head that the configuration names."""
    return RegressionHead(config) if config.head == "regression" else HeatmapHead(config)


def _log_softmax(raw: Float[Tensor, "b i j"]) -> Float[Tensor, "b i j"]:
    return raw.float().flatten(1).log_softmax(1).view_as(raw)


def _bilinear(apart: Float[Tensor, "b cells"], cell_px: int) -> Float[Tensor, "b cells"]:
    return (1 - apart.abs() / cell_px).clamp_min(0)


def _gaussian(
    apart: Float[Tensor, "b cells"], width: Float[Tensor, "b 1"]
) -> Float[Tensor, "b cells"]:
    return (-0.5 * (apart / width).square()).softmax(1)


def _near_peak(probability: Float[Tensor, "b i j"]) -> Float[Tensor, "b i j"]:
    rows, columns = (torch.arange(n, device=probability.device) for n in probability.shape[1:])
    peak = probability.flatten(1).argmax(1)[:, None]
    near_row = (rows - peak // len(columns)).abs() <= MODE_RADIUS_CELLS  # (b, i)
    near_column = (columns - peak % len(columns)).abs() <= MODE_RADIUS_CELLS  # (b, j)
    window = probability * near_row[:, :, None] * near_column[:, None, :]
    return window / window.sum((1, 2), keepdim=True)


def _weighted(loss: Float[Tensor, " b"], weight: Float[Tensor, " b"] | None) -> Float[Tensor, ""]:
    return loss.mean() if weight is None else (loss * weight).mean()
