"""From centres in tiles to fixes: where on Earth, how surely, when, and what parallax moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Grid, cloud_top_height_km, nearest_turn, true_position
from medicane_models.domain.distances import EARTH_RADIUS_KM, Array
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.network.configuration import RadiusCalibration
from medicane_models.prediction.detections import FIX_COLUMNS
from medicane_models.prediction.models import ModelDescription
from medicane_models.prediction.uncertainty import error_radii
from medicane_models.runtimes.interface import Centres
from medicane_models.scenes.clips import TileClip
from medicane_models.scenes.processing import Band
from medicane_models.scenes.readers.channels import WINDOW
from medicane_models.scenes.readers.recording import SCAN_TIMES
from medicane_models.scenes.scan_times import pixel_time

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Geolocator", "check_window"]

AROUND = 2  # pixels to each side of a centre whose coldest is taken for its cloud top


def check_window(model: ModelDescription) -> None:
    """Refuse a model whose first band does not tell how high clouds are.

    Raises:
        ConfigurationError: naming the band.
    """
    band = model.processor.bands[0]
    if band.minus is not None or band.channel != WINDOW:
        raise ConfigurationError(
            f"parallax needs the height of clouds from {WINDOW}, and {model.name} reads {band}; "
            "leave out --parallax, or take a model of the infrared window"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Geolocator:
    """Places the centres that a tracker found in tiles of one scene.

    Attributes:
        scene: as ``open_scene`` returned it.
        grid: its own.
        radius_calibration: of the tracker.
        window: the band in kelvin that tells the height of clouds, if parallax is to be taken out.
    """

    scene: "xr.Dataset"
    grid: Grid
    radius_calibration: RadiusCalibration | None = None
    window: Band | None = None

    def __post_init__(self) -> None:
        if self.window is not None and np.isnan(self._longitude):
            raise SceneError(
                f"parallax depends on where the satellite stands, which "
                f"{self.scene.attrs['source']} does not say; leave out --parallax"
            )

    @property
    def _longitude(self) -> float:
        return float(self.scene.attrs["sub_satellite_longitude"])

    def fixes(self, centres: Centres, tiles: Sequence[TileClip], frame: int) -> pd.DataFrame:
        """FIX_COLUMNS of each tile.

        Args:
            centres: in pixels of the tiles.
            tiles: one a centre.
            frame: number of the clip's newest frame in the scene.
        """
        grids = [tile.grid for tile in tiles]
        pairs = list(zip(grids, centres.center, strict=True))
        lon, lat = np.array([grid.pixel_to_lonlat(*center) for grid, center in pairs]).T
        to_km = np.stack([grid.jacobian_km(*center) for grid, center in pairs])
        covariance_km = to_km @ centres.covariance @ np.swapaxes(to_km, -1, -2)
        table = pd.DataFrame(index=range(len(tiles)), columns=list(FIX_COLUMNS), dtype=float)
        table[["center_x", "center_y"]] = centres.center
        radii = error_radii(covariance_km, self.radius_calibration)
        table[["radius_50_km", "radius_95_km"]] = radii
        table["observed"] = self._observed(lon, lat, frame)
        table["lon"], table["lat"] = lon, lat
        if self.window is not None:
            tops = zip(tiles, centres.center, strict=True)
            kelvin = [_cloud_top_kelvin(tile, center, self.window) for tile, center in tops]
            true = true_position(lon, lat, cloud_top_height_km(kelvin, lat), self._longitude)
            table["parallax_east_km"], table["parallax_north_km"] = _moved_km(lon, lat, *true)
            table["lon"], table["lat"] = true
        return table

    def _observed(self, lon: Array, lat: Array, frame: int) -> pd.DatetimeIndex:
        """When the pixels were seen; NaT where the files do not tell."""
        if not set(SCAN_TIMES) <= set(self.scene.coords):
            return pd.DatetimeIndex([pd.NaT] * np.size(lon))
        _, y = self.grid.lonlat_to_pixel(lon, lat)
        return pd.DatetimeIndex(pixel_time(self.scene, np.full(np.size(lon), frame), y)).round("s")


def _cloud_top_kelvin(tile: TileClip, center: Float[np.ndarray, " 2"], band: Band) -> float:
    """The coldest pixel around a centre in the newest frame, since an eye hides its wall."""
    column, row = np.rint(center).astype(int)
    rows, columns = (slice(max(at - AROUND, 0), at + AROUND + 1) for at in (row, column))
    value = tile.frames[-1][0, rows, columns]  # 0 … 1
    kelvin = band.low + value * (band.high - band.low)
    return float(np.nanmin(kelvin)) if np.isfinite(kelvin).any() else np.nan


def _moved_km(lon: Array, lat: Array, true_lon: Array, true_lat: Array) -> tuple[Array, Array]:
    """Kilometres east and north from where clouds appear to where they are."""
    east = nearest_turn(true_lon - lon) * np.cos(np.radians(lat))
    return np.radians(east) * EARTH_RADIUS_KM, np.radians(true_lat - lat) * EARTH_RADIUS_KM
