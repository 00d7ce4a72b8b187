"""Heads that turn tokens into the centre of a cyclone, both with the same four methods.

``pool`` gathers tokens, ``forward`` maps them to raw outputs, ``loss`` compares those with true
centres and ``decode`` turns them into a centre with its covariance. Shapes: b clips, n tokens,
d features, r and k rows and columns of patches, i and j rows and columns of heatmap cells.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.outputs import TrackingOutput

__all__ = ["HeatmapHead", "RegressionHead", "make_tracking_head"]

MODE_RADIUS_PX = 16.0
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

    def forward(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b 2"]:
        """Standardised (x, y)."""
        return self.mlp(pooled)

    def loss(self, raw: Float[Tensor, "b 2"], centers: Float[Tensor, "b 2"]) -> Float[Tensor, ""]:
        """Mean squared error of the standardised coordinates."""
        target = (centers - centers.new_tensor(self.mean)) / centers.new_tensor(self.scale)
        return F.mse_loss(raw.float(), target.float())

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
    """

    def __init__(self, config: MedicaneConfig) -> None:
        super().__init__()
        self.grid = config.token_grid
        self.cell_px = config.heatmap_stride
        self.upscale = config.patch_size // config.heatmap_stride
        self.center_kind = config.heatmap_center
        self.temperature = config.temperature
        first = (self.cell_px - 1) / 2 - config.patch_size
        self.origin_px = (first, first)
        self.time_weight = nn.Parameter(torch.full((self.grid[0],), 1 / self.grid[0]))
        # padding by two puts a ring of patches around the tile, told from it by their neighbours
        self.conv = nn.Conv2d(config.embed_dim, self.upscale**2, kernel_size=3, padding=2)

    def pool(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b r k d"]:
        """Weighted mean over time, one weight a token frame."""
        return torch.einsum("btrkd,t->brkd", tokens.unflatten(1, self.grid), self.time_weight)

    def forward(self, pooled: Float[Tensor, "b r k d"]) -> Float[Tensor, "b i j"]:
        """Logits of the cells."""
        patches = self.conv(pooled.permute(0, 3, 1, 2))  # (b, cells of a patch, r + 2, k + 2)
        return F.pixel_shuffle(patches, self.upscale)[:, 0]  # (b, i, j)

    def loss(self, raw: Float[Tensor, "b i j"], centers: Float[Tensor, "b 2"]) -> Float[Tensor, ""]:
        """Negative logarithm of the density at the true centre, nats for a density per px²."""
        y, x = self._middles(raw)
        row, column = (
            _bilinear(position, middles, self.cell_px)
            for position, middles in ((centers[:, 1], y), (centers[:, 0], x))
        )
        weight = row[:, :, None] * column[:, None, :]  # (b, i, j), four of them not 0
        log_density = (_log_softmax(raw) + weight.log()).flatten(1).logsumexp(1)
        return 2 * math.log(self.cell_px) - log_density.mean()

    def decode(
        self, raw: Float[Tensor, "b i j"], loss: Float[Tensor, ""] | None = None
    ) -> TrackingOutput:
        """The centre and the distribution's second moment about it."""
        return self.summarise(_log_softmax(raw / self.temperature).exp(), loss)

    def summarise(
        self, probability: Float[Tensor, "b i j"], loss: Float[Tensor, ""] | None = None
    ) -> TrackingOutput:
        """Centre and second moment of any distribution over the cells."""
        y, x = self._middles(probability)
        around = _near_peak(probability, y, x) if self.center_kind == "mode" else probability
        center = torch.stack((around.sum(1) @ x, around.sum(2) @ y), 1)  # (b, 2)
        within_cell = self.cell_px**2 / 6  # variance of a pyramid two cells wide
        return TrackingOutput(
            loss=loss,
            center=center,
            covariance=_second_moment(probability, y - center[:, 1:], x - center[:, :1])
            + within_cell * torch.eye(2, device=center.device),
            heatmap=probability,
            cell_px=self.cell_px,
            origin_px=self.origin_px,
        )

    def _middles(
        self, cells: Float[Tensor, "b i j"]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, " j"]]:
        # not a buffer: a model in bfloat16 would round it to whole pixels
        rows, columns = (
            torch.arange(n, device=cells.device, dtype=torch.float32) for n in cells.shape[1:]
        )
        return rows * self.cell_px + self.origin_px[1], columns * self.cell_px + self.origin_px[0]


def make_tracking_head(config: MedicaneConfig) -> RegressionHead | HeatmapHead:
    """The head that the configuration names."""
    return RegressionHead(config) if config.head == "regression" else HeatmapHead(config)


def _log_softmax(raw: Float[Tensor, "b i j"]) -> Float[Tensor, "b i j"]:
    return raw.float().flatten(1).log_softmax(1).view_as(raw)


def _bilinear(
    position: Float[Tensor, " b"], middles: Float[Tensor, " cells"], cell_px: int
) -> Float[Tensor, "b cells"]:
    inside = position.float().clamp(middles[0], middles[-1])
    return (1 - (inside[:, None] - middles).abs() / cell_px).clamp_min(0)


def _near_peak(
    probability: Float[Tensor, "b i j"], y: Float[Tensor, " i"], x: Float[Tensor, " j"]
) -> Float[Tensor, "b i j"]:
    peak = probability.flatten(1).argmax(1)
    row, column = peak // len(x), peak % len(x)
    near_row = (y - y[row][:, None]).abs() <= MODE_RADIUS_PX  # (b, i)
    near_column = (x - x[column][:, None]).abs() <= MODE_RADIUS_PX  # (b, j)
    window = probability * near_row[:, :, None] * near_column[:, None, :]
    return window / window.sum((1, 2), keepdim=True)


def _second_moment(
    probability: Float[Tensor, "b i j"], y: Float[Tensor, "b i"], x: Float[Tensor, "b j"]
) -> Float[Tensor, "b 2 2"]:
    xx = (probability.sum(1) * x**2).sum(1)
    yy = (probability.sum(2) * y**2).sum(1)
    xy = torch.einsum("bij,bi,bj->b", probability, y, x)
    return torch.stack((xx, xy, xy, yy), 1).unflatten(1, (2, 2))
