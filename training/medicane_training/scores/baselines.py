"""What needs no learning: centres and detections that a trained model has to beat.

Everything is computed from the last frame of a clip in kelvin, NaN where pixels are missing, or
from the known tracks. Centres are (x, y) in pixels of the tile.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from medicane_models.domain import Grid, local_plane
from medicane_models.verification.best_tracks import positions_at
from medicane_training.scores.centres import error_km
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.cloud_bands import CloudBand
from medicane_training.store.selection import SETTINGS_FILE
from medicane_training.store.spirals import spiral_gradient

__all__ = [
    "baseline_centres",
    "baseline_errors",
    "box_means",
    "cold_cloud_centroid",
    "coldest_mean_kelvin",
    "coldest_means",
    "coldest_place",
    "last_frame_kelvin",
    "persistence",
    "tile_centre",
]

COLDEST_BOX_KM = 60.0
COLDEST_SHARE = 0.3
LEAST_SEEN = 0.5  # share of a box that must not be missing


def last_frame_kelvin(store: ClipStore, clip: int, band: CloudBand) -> Float[np.ndarray, "H W"]:
    """The newest frame of a clip, read alone."""
    codes = store.read_frames(store.rows[clip][-1:], store.tile(clip))
    return band.kelvin(decode(codes))[0]


def tile_centre(size: int) -> Float[np.ndarray, " 2"]:
    """The middle of a tile of ``size`` pixels along each side."""
    return np.full(2, (size - 1) / 2)


def persistence(
    tracks: pd.DataFrame,
    storms: Shaped[np.ndarray, " n"],
    ends: Shaped[np.ndarray, " n"],
    *,
    hours: float = 1.0,
    max_gap_hours: float = 2.0,
) -> Float[np.ndarray, "n lonlat"]:
    """Where storms truly were some hours ago, in degrees; NaN before a track begins.

    No image is looked at, and nobody knows the true centre of an hour ago in real time: this is
    what a tracker of single clips would need to reach for its errors to be those of motion.

    Args:
        tracks: as `medicane_models.verification.best_tracks.read_tracks` returns them.
        storms: which of them each clip is about.
        ends: of the clips, UTC.
        hours: ago.
        max_gap_hours: see `medicane_models.verification.best_tracks.positions_at`.
    """
    ago = pd.DatetimeIndex(ends) - pd.Timedelta(hours=hours)
    known = positions_at(tracks, ago, max_gap_hours=max_gap_hours)
    asked = pd.DataFrame({"time": ago.as_unit("ns"), "track_id": storms})
    return asked.merge(known, on=["time", "track_id"], how="left")[["lon", "lat"]].to_numpy(float)


def cold_cloud_centroid(
    kelvin: Float[np.ndarray, "H W"], *, coldest: float = COLDEST_SHARE
) -> Float[np.ndarray, " 2"]:
    """Mean pixel (x, y) of the coldest share of those present, weighted by how much colder.

    The weight is the kelvin below the quantile; where all pixels are alike the tile's middle is
    returned. No share suits all storms.
    """
    there = ~np.isnan(kelvin)
    depth = np.zeros(kelvin.shape)
    if there.any():
        depth[there] = np.maximum(np.quantile(kelvin[there], coldest) - kelvin[there], 0)
    if not (total := depth.sum()):
        return tile_centre(kelvin.shape[1])
    rows, columns = (depth.sum(axis=axis) @ np.arange(depth.shape[1 - axis]) for axis in (1, 0))
    return np.array([columns, rows]) / total


def baseline_centres(
    store: ClipStore, clips: Sequence[int] | Int[np.ndarray, " n"]
) -> dict[str, Float[np.ndarray, "n 2"]]:
    """Centres of clips in pixels of their tiles by each method, NaN where it says nothing."""
    band, grid = CloudBand.of(store.processor), store.grid
    middle = tile_centre(store.processor.tile_size)
    found: dict[str, list[np.ndarray]] = {
        name: []
        for name in ("tile centre", "cold-cloud centroid", "coldest 60 km", "spiral gradient")
    }
    for clip in map(int, clips):
        kelvin, place = last_frame_kelvin(store, clip, band), np.array(store.tile(clip)) + middle
        to_km, (_, lat) = np.asarray(grid.jacobian_km(*place)), grid.pixel_to_lonlat(*place)
        found["tile centre"].append(middle)
        found["cold-cloud centroid"].append(cold_cloud_centroid(kelvin))
        width, height = np.linalg.norm(to_km, axis=0).tolist()
        found["coldest 60 km"].append(coldest_place(kelvin, (width, height)))
        southern = bool(lat < 0) and not store.processor.uses_planes  # those are mirrored there
        found["spiral gradient"].append(spiral_gradient(kelvin, to_km, southern=southern))
    centres = {name: np.array(points).reshape(-1, 2) for name, points in found.items()}
    return centres | {"centre 1 h ago": _an_hour_ago(store, clips)}


def baseline_errors(
    store: ClipStore, clips: Sequence[int] | Int[np.ndarray, " n"]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Kilometres from the true centre of each clip by each method of `baseline_centres`."""
    rows = store.clips.iloc[list(clips)]
    tiles, truth = (
        rows[names].to_numpy(float) for names in (["tile_x", "tile_y"], ["target_x", "target_y"])
    )
    found = baseline_centres(store, clips)
    return {name: error_km(store.grid, tiles, centres, truth) for name, centres in found.items()}


def _an_hour_ago(
    store: ClipStore, clips: Sequence[int] | Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n 2"]:
    rows = store.clips.iloc[list(clips)]
    if store.tracks is None:
        return np.full((len(rows), 2), np.nan)
    lonlat = persistence(
        store.tracks,
        rows["storm"].to_numpy(),
        rows["end"].to_numpy(),
        max_gap_hours=store.document(SETTINGS_FILE)["max_gap_hours"],
    )
    known = np.flatnonzero(np.isfinite(lonlat).all(axis=1))  # nor is the place of others known
    pixels = np.full((len(rows), 2), np.nan)
    for row, grid in zip(known, _frame_grids(store, rows.iloc[known]), strict=True):
        pixels[row] = grid.lonlat_to_pixel(*lonlat[row])
    return pixels - rows[["tile_x", "tile_y"]].to_numpy(float)


def _frame_grids(store: ClipStore, rows: pd.DataFrame) -> list[Grid]:
    """Where on Earth the frames of each clip lie."""
    if not store.processor.uses_planes:
        return [store.grid] * len(rows)
    size, km = store.grid.width, store.grid.x_step / 1000
    places = rows[["plane_lon", "plane_lat"]].to_numpy(float)
    return [local_plane(lon, lat, size=size, km=km) for lon, lat in places]


def coldest_mean_kelvin(
    kelvin: Float[np.ndarray, "H W"],
    pixel_km: tuple[float, float],
    *,
    box_km: float = COLDEST_BOX_KM,
) -> float:
    """The least mean over a box inside the tile: deep clouds as wide as a storm's core are cold.

    Args:
        kelvin: NaN where missing; boxes of which half is missing do not count.
        pixel_km: ground size of a column and a row.
        box_km: along each side of the box.

    Returns:
        Kelvin; NaN where no box counts.
    """
    means = box_means(kelvin, pixel_km, box_km=box_km)
    return float("nan") if np.isnan(means).all() else float(np.nanmin(means))


def coldest_place(
    kelvin: Float[np.ndarray, "H W"],
    pixel_km: tuple[float, float],
    *,
    box_km: float = COLDEST_BOX_KM,
) -> Float[np.ndarray, " 2"]:
    """The middle (x, y) of the box of `coldest_mean_kelvin`; of the tile where no box counts."""
    means = box_means(kelvin, pixel_km, box_km=box_km)
    if np.isnan(means).all():
        return tile_centre(kelvin.shape[1])
    row, column = np.unravel_index(np.nanargmin(means), means.shape)
    columns, rows = _box_shape(kelvin.shape, pixel_km, box_km)
    return np.array([column + (columns - 1) / 2, row + (rows - 1) / 2])


def box_means(
    kelvin: Float[np.ndarray, "H W"],
    pixel_km: tuple[float, float],
    *,
    box_km: float = COLDEST_BOX_KM,
) -> Float[np.ndarray, "h w"]:
    """Means over all boxes inside the tile; NaN for those of which half is missing."""
    columns, rows = _box_shape(kelvin.shape, pixel_km, box_km)
    there = ~np.isnan(kelvin)
    total = _box_sums(np.where(there, kelvin, 0.0), rows, columns)
    count = _box_sums(there.astype(float), rows, columns)
    counts = count >= LEAST_SEEN * rows * columns
    return np.where(counts, total / np.maximum(count, 1), np.nan)


def _box_shape(
    shape: tuple[int, ...], pixel_km: tuple[float, float], box_km: float
) -> tuple[int, int]:
    """Columns and rows of a box, at least one and at most all."""
    columns, rows = (
        min(max(round(box_km / size), 1), length)
        for size, length in zip(pixel_km, shape[::-1], strict=True)
    )
    return columns, rows


def coldest_means(
    store: ClipStore,
    clips: Sequence[int] | Int[np.ndarray, " n"],
    *,
    box_km: float = COLDEST_BOX_KM,
) -> Float[np.ndarray, " n"]:
    """:func:`coldest_mean_kelvin` of clips of a store: the colder, the more likely a cyclone.

    Far calm tiles are told from storms by this alone, so that a detector says little unless it
    beats it. Which channel it is, `CloudBand.of` the processor tells.
    """
    processor = store.processor
    band = CloudBand.of(processor)
    middle = (processor.tile_size - 1) / 2
    offsets = np.array([store.tile(int(clip)) for clip in clips], float).reshape(-1, 2)
    sizes = np.stack(store.grid.pixel_size_km(*(offsets + middle).T), axis=-1)
    return np.array(
        [
            coldest_mean_kelvin(
                last_frame_kelvin(store, int(clip), band), (size[0], size[1]), box_km=box_km
            )
            for clip, size in zip(clips, sizes, strict=True)
        ],
        float,
    )


def _box_sums(
    values: Float[np.ndarray, "H W"], rows: int, columns: int
) -> Float[np.ndarray, "h w"]:
    """Sums over all boxes that lie inside."""
    sums = np.pad(values.astype(float), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    upper, lower = sums[:-rows], sums[rows:]
    return (lower - upper)[:, columns:] - (lower - upper)[:, :-columns]
