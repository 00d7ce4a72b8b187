"""How many tracks pass near every place: the map of a season or an archive."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medicane_models.domain import EARTH_RADIUS_KM, Grid
from medicane_models.domain.vectors import unit_vectors
from medicane_models.maps.canvas import add_scale_bar, base_map, plain_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NEAR_KM", "density_map", "tracks_near"]

NEAR_KM = 300.0
MESH = 160  # points along the longer side of a map
COLOURS, OPACITY = "viridis", 0.75


def tracks_near(
    tracks: pd.DataFrame,
    lon: Float[np.ndarray, "*n"],
    lat: Float[np.ndarray, "*n"],
    *,
    near_km: float = NEAR_KM,
) -> Int[np.ndarray, "*n"]:
    """How many tracks have a position within ``near_km`` of places in degrees; each counts once."""
    places = unit_vectors(lon.ravel(), lat.ravel())  # n 3
    counts = np.zeros(len(places), dtype=np.int64)
    for _, rows in tracks.groupby("track_id"):
        positions = unit_vectors(rows["lon"].to_numpy(float), rows["lat"].to_numpy(float))
        counts += (places @ positions.T >= np.cos(near_km / EARTH_RADIUS_KM)).any(axis=1)
    return counts.reshape(lon.shape)


def density_map(
    grid: Grid,
    tracks: pd.DataFrame,
    *,
    title: str,
    subtitle: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """Colour every place by how many tracks pass within NEAR_KM of it.

    Args:
        grid: of the map.
        tracks: a track table.
        title: what is shown.
        subtitle: names the models.
        caption: what the reader must know.
    """
    axes = base_map(plain_picture(grid), grid, title=title, subtitle=subtitle, warning=caption)
    step = max(grid.width, grid.height) / MESH
    x, y = np.meshgrid(np.arange(0, grid.width, step), np.arange(0, grid.height, step))
    lon, lat = grid.pixel_to_lonlat(x, y)
    seen = np.isfinite(lon)
    near = tracks_near(tracks, np.where(seen, lon, 0.0), np.where(seen, lat, 0.0))
    shown = np.ma.masked_where(~seen | (near == 0), near)
    most = max(int(near.max()), 1)
    drawn = axes.pcolormesh(
        x, y, shown, cmap=COLOURS, vmin=0, vmax=most, alpha=OPACITY, shading="nearest"
    )
    told = f"tracks within {NEAR_KM:.0f} km, of {tracks['track_id'].nunique()}"
    axes.figure.colorbar(drawn, ax=axes, label=told, shrink=0.8, pad=0.02)
    add_scale_bar(axes, grid)
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure
