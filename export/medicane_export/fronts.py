"""What stands before and behind a model inside a graph: brightness temperatures and geography.

Letters: b clips, t frames, k channels in kelvin, c bands, h rows, w columns.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medicane_export.geometry import MESH_PX, RADIUS_SHARES, ground_mesh, radius_quantiles
from medicane_models.scenes.clips import FULL
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["Ground", "KelvinFront"]

NO_DATA_K = 250.0  # any finite value does: what stands there is not used


class KelvinFront(nn.Module):
    """What a processor and a clip reader do, from kelvin to normalised clips."""

    mean: Tensor
    std: Tensor
    far: Tensor

    def __init__(self, processor: MedicaneProcessor) -> None:
        super().__init__()
        self.bands = processor.bands
        self.places = {name: index for index, name in enumerate(processor.channels)}
        self.enough = math.ceil(FULL * processor.tile_size**2)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(processor, name))[:, None, None])
        slots = torch.arange(processor.num_frames)
        apart = slots - slots[:, None]
        # of two frames as near the earlier is taken
        self.register_buffer("far", (2 * apart.abs() + (apart > 0)).float())

    def forward(
        self, kelvin: Float[Tensor, "b t k h w"]
    ) -> tuple[Float[Tensor, "b t c h w"], Int[Tensor, " b"]]:
        """Normalised clips and how many of their frames were missing.

        Frames with too few pixels are filled from the nearest, missing pixels become the mean.
        """
        absent = torch.isnan(kelvin.sum(2, keepdim=True))  # (b, t, 1, h, w)
        image = torch.stack(self._stretched(kelvin.masked_fill(absent, NO_DATA_K)), 2)
        pixels = ((image - self.mean) / self.std).masked_fill(absent, 0.0)  # (b, t, c, h, w)
        present = (~absent).float().sum((2, 3, 4)) >= self.enough  # (b, t)
        missing = (~present).long().sum(1)
        return self._filled(pixels, present), missing

    def _stretched(self, kelvin: Float[Tensor, "b t k h w"]) -> list[Float[Tensor, "b t h w"]]:
        bands = []
        for band in self.bands:
            value = kelvin[:, :, self.places[band.channel]]
            if band.minus is not None:
                value = value - kelvin[:, :, self.places[band.minus]]
            bands.append(((value - band.low) / (band.high - band.low)).clamp(0, 1))
        return bands

    def _filled(
        self, pixels: Float[Tensor, "b t c h w"], present: Tensor
    ) -> Float[Tensor, "b t c h w"]:
        frames = len(self.far)
        cost = self.far + (~present).float()[:, None] * (3 * frames)  # (b, t, from)
        first = torch.arange(pixels.shape[0], device=pixels.device)[:, None] * frames
        source = (cost.argmin(2) + first).flatten()
        return pixels.flatten(0, 1)[source].unflatten(0, (-1, frames))


class Ground(nn.Module):
    """From tile pixels and their covariance to degrees and kilometres."""

    mesh: Tensor
    quantiles: Tensor
    origin: Tensor
    last: Tensor

    def __init__(self, processor: MedicaneProcessor, margin: int) -> None:
        super().__init__()
        mesh = ground_mesh(processor.grid, margin)
        rows, columns, _ = mesh.values.shape
        self.longitude = mesh.longitude
        self.columns = columns
        self.register_buffer("mesh", torch.from_numpy(mesh.values).flatten(0, 1))
        self.register_buffer("quantiles", torch.from_numpy(radius_quantiles()))
        self.register_buffer("origin", torch.tensor(mesh.origin, dtype=torch.float32))
        self.register_buffer("last", torch.tensor([columns - 2, rows - 2], dtype=torch.float32))

    def forward(
        self,
        center: Float[Tensor, "b 2"],
        covariance: Float[Tensor, "b 2 2"],
        tile_offset: Int[Tensor, "b 2"],
    ) -> tuple[Float[Tensor, "b 2"], Float[Tensor, " b"], Float[Tensor, " b"]]:
        """(lon, lat) in degrees and the radii in km of the circles that hold RADIUS_SHARES."""
        east, north, *jacobian = self._at(center + tile_offset.float()).unbind(1)
        lon = torch.remainder(east + self.longitude + 180.0, 360.0) - 180.0
        to_km = torch.stack(jacobian, 1).unflatten(1, (2, 2))  # (b, km, px)
        in_km = to_km @ covariance @ to_km.transpose(1, 2)
        small, large = self._radii(in_km)
        return torch.stack((lon, north), 1), small, large

    def _at(self, pixel: Float[Tensor, "b 2"]) -> Float[Tensor, "b 6"]:
        """The mesh between its points, NaN outside it."""
        place = (pixel - self.origin) / MESH_PX
        inside = (place >= 0) & (place <= self.last + 1)
        place = torch.where(inside, place, 0.0)
        corner = torch.minimum(place.floor(), self.last)
        right, down = (place - corner).unsqueeze(2).unbind(1)  # (b, 1) each
        column, row = corner.long().unbind(1)
        index = row * self.columns + column
        above = self.mesh[index] * (1 - right) + self.mesh[index + 1] * right
        index = index + self.columns
        below = self.mesh[index] * (1 - right) + self.mesh[index + 1] * right
        values = above * (1 - down) + below * down
        return values.masked_fill(~inside.all(1, keepdim=True), float("nan"))

    def _radii(self, in_km: Float[Tensor, "b 2 2"]) -> list[Float[Tensor, " b"]]:
        xx, xy, yy = in_km[:, 0, 0], in_km[:, 0, 1], in_km[:, 1, 1]
        half, spread = (xx + yy) / 2, (((xx - yy) / 2) ** 2 + xy**2).sqrt()
        large = (half + spread).sqrt()
        ratio = (half - spread).clamp_min(0.0).sqrt() / large.clamp_min(1e-9)
        # a NaN has no place in the table; the larger deviation carries it on
        place = ratio.masked_fill(torch.isnan(ratio), 0.0) * (self.quantiles.shape[1] - 1)
        step = place.floor().clamp_max(float(self.quantiles.shape[1] - 2))
        share, index = place - step, step.long()
        return [
            large * (table[index] * (1 - share) + table[index + 1] * share)
            for table in self.quantiles.unbind(0)[: len(RADIUS_SHARES)]
        ]
