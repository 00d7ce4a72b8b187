"""What stands behind a tracker inside a graph: degrees and kilometres.

Positions and radii are tables, so that a graph needs no projection library.

Letters: b clips, R and K rows and columns of a mesh, P probabilities, S steps of a quantile.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medicane_models.domain import EARTH_RADIUS_KM, Grid
from medicane_models.network.configuration import RadiusCalibration
from medicane_models.prediction.uncertainty import RADIUS_SHARES, normal_radius
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["Ground", "GroundMesh", "PlaneGround", "ground_mesh", "radius_quantiles"]

MESH_PX = 8
"""Pixels between the points of the mesh; on the Mediterranean grid linear interpolation between
them puts a pixel at most 60 m off and is right to 0.01 % about its size."""

QUANTILE_STEPS = 257
TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class GroundMesh:
    """Position and size of pixels on a coarse mesh that reaches beyond the grid.

    Attributes:
        values: at each point: degrees east of ``longitude``, latitude, and the kilometres that a
            pixel spans, (east per x, east per y, north per x, north per y).
        origin: pixel (x, y) of the first point.
        longitude: of the grid's middle, so that no value jumps at the date line.
    """

    values: Float[np.ndarray, "R K 6"]
    origin: tuple[int, int]
    longitude: float


def ground_mesh(grid: Grid, margin: int) -> GroundMesh:
    """The mesh of a grid and ``margin`` pixels around it.

    Points that the satellite does not see are NaN.
    """
    columns, rows = (
        np.arange(-margin, size + margin + MESH_PX, MESH_PX) for size in (grid.width, grid.height)
    )
    x, y = np.meshgrid(columns, rows)
    middle = float(grid.pixel_to_lonlat((grid.width - 1) / 2, (grid.height - 1) / 2)[0])
    lon, lat = (np.asarray(values) for values in grid.pixel_to_lonlat(x, y))
    jacobian = np.asarray(grid.jacobian_km(x, y)).reshape(*x.shape, 4)
    east = (lon - middle + 180) % 360 - 180
    values = np.concatenate((np.stack((east, lat), -1), jacobian), -1).astype(np.float32)
    return GroundMesh(values=values, origin=(-margin, -margin), longitude=middle)


def radius_quantiles() -> Float[np.ndarray, "P S"]:
    """Radii that hold RADIUS_SHARES of a normal whose larger deviation is 1.

    By the ratio of its deviations, from 0 to 1 in equal steps. The radius of any normal is its
    larger deviation times this; linear interpolation is right to 1e-5.
    """
    ratio = np.linspace(0, 1, QUANTILE_STEPS)
    covariance = np.zeros((QUANTILE_STEPS, 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = 1, ratio**2
    return np.stack([normal_radius(covariance, share) for share in RADIUS_SHARES]).astype(
        np.float32
    )


class Radii(nn.Module):
    """Radii of the circles that hold RADIUS_SHARES of the errors in km, see `error_radii`."""

    quantiles: Tensor

    def __init__(self, calibration: RadiusCalibration | None) -> None:
        super().__init__()
        self.calibration = calibration or ((1.0, 1.0),) * len(RADIUS_SHARES)
        self.register_buffer("quantiles", torch.from_numpy(radius_quantiles()))

    def forward(self, in_km: Float[Tensor, "b 2 2"]) -> list[Float[Tensor, " b"]]:
        """One tensor a share."""
        xx, xy, yy = in_km[:, 0, 0], in_km[:, 0, 1], in_km[:, 1, 1]
        half, spread = (xx + yy) / 2, (((xx - yy) / 2) ** 2 + xy**2).sqrt()
        large = (half + spread).sqrt()
        ratio = (half - spread).clamp_min(0.0).sqrt() / large.clamp_min(1e-9)
        # a NaN has no place in the table; the larger deviation carries it on
        place = ratio.masked_fill(torch.isnan(ratio), 0.0) * (self.quantiles.shape[1] - 1)
        step = place.floor().clamp_max(float(self.quantiles.shape[1] - 2))
        share, index = place - step, step.long()
        tables = zip(self.quantiles.unbind(0), self.calibration, strict=True)
        return [
            factor * (large * (table[index] * (1 - share) + table[index + 1] * share)) ** power
            for table, (factor, power) in tables
        ]


class Ground(nn.Module):
    """From pixels of fixed tiles and their covariance to degrees and kilometres."""

    mesh: Tensor
    origin: Tensor
    last: Tensor

    def __init__(
        self,
        processor: MedicaneProcessor,
        margin: int,
        calibration: RadiusCalibration | None = None,
    ) -> None:
        super().__init__()
        mesh = ground_mesh(processor.grid, margin)
        rows, columns, _ = mesh.values.shape
        self.longitude = mesh.longitude
        self.columns = columns
        self.register_buffer("mesh", torch.from_numpy(mesh.values).flatten(0, 1))
        self.radii = Radii(calibration)
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
        small, large = self.radii(in_km)
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


class PlaneGround(nn.Module):
    """From pixels of local planes and their covariance to degrees and kilometres.

    The inverse of the azimuthal equidistant projection, as `medicane_models.domain.azimuthal` has
    it: distances from the plane's centre are true, those across are longer by arc over sine.
    """

    def __init__(
        self, processor: MedicaneProcessor, calibration: RadiusCalibration | None = None
    ) -> None:
        super().__init__()
        self.middle = (processor.tile_size - 1) / 2
        self.km = processor.grid.x_step / 1000
        self.radii = Radii(calibration)

    def forward(
        self,
        center: Float[Tensor, "b 2"],
        covariance: Float[Tensor, "b 2 2"],
        plane_center: Float[Tensor, "b 2"],
    ) -> tuple[Float[Tensor, "b 2"], Float[Tensor, " b"], Float[Tensor, " b"]]:
        """(lon, lat) in degrees and the radii in km of the circles that hold RADIUS_SHARES."""
        offset = (center - self.middle) * self.km  # to the right and down
        arc = offset.norm(dim=1) / EARTH_RADIUS_KM
        shrink = torch.where(arc > 0, arc.sin() / arc.clamp_min(TINY), 1.0)
        small, large = self.radii(self._in_km(offset, covariance, shrink))
        return self._lonlat(offset, arc, shrink, plane_center), small, large

    def _in_km(
        self, offset: Float[Tensor, "b 2"], covariance: Tensor, shrink: Float[Tensor, " b"]
    ) -> Float[Tensor, "b 2 2"]:
        outwards = offset / offset.norm(dim=1, keepdim=True).clamp_min(TINY)
        along = outwards[:, :, None] * outwards[:, None, :]
        across = torch.eye(2, device=offset.device) - along
        to_km = self.km * (along + shrink[:, None, None] * across)
        return to_km @ covariance @ to_km

    def _lonlat(
        self, offset: Tensor, arc: Tensor, shrink: Tensor, plane_center: Float[Tensor, "b 2"]
    ) -> Float[Tensor, "b 2"]:
        lon, lat = plane_center.float().unbind(1)
        middle = torch.deg2rad(lat)
        upwards = torch.where(lat < 0, 1.0, -1.0)  # rows run northwards south of the equator
        east, north = (offset * shrink[:, None] / EARTH_RADIUS_KM).unbind(1)
        north, up = north * upwards, arc.cos()
        towards_pole = middle.cos() * up - middle.sin() * north
        axis = middle.sin() * up + middle.cos() * north
        turned = torch.rad2deg(torch.atan2(east, towards_pole))
        found_lat = torch.atan2(axis, (east**2 + towards_pole**2).sqrt())
        found_lon = torch.remainder(lon + turned + 180.0, 360.0) - 180.0
        return torch.stack((found_lon, torch.rad2deg(found_lat)), 1)
