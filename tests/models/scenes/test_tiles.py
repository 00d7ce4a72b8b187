import numpy as np
import pandas as pd
import pytest
import xarray as xr

from medicane_models.domain import Grid, local_plane
from medicane_models.scenes.clips import ClipReader, SkippedClip, plan_clips
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import LocalPlanes, overview_grid, tiling_of

SOUTH = Grid.lonlat(west=40, south=-30, east=60, north=-10, step_degrees=0.1)
PROCESSOR = MedicaneProcessor.planes(size=16, km=40.0, num_frames=2, max_missing=1)


def scene(kelvin: np.ndarray, grid: Grid = SOUTH, first: str = "2020-01-01") -> xr.Dataset:
    """One frame an hour."""
    times = pd.date_range(first, periods=len(kelvin), freq="h")
    axes = {axis: (axis, getattr(grid, axis)) for axis in "yx"}
    return xr.Dataset({"IR_108": (("time", "y", "x"), kelvin)}, {"time": times, **axes})


def northward_ramp(count: int = 1) -> np.ndarray:
    """Kelvin that grow by 2 K a degree of latitude."""
    ramp = 250 + 2 * (SOUTH.y[:, None] + 20) + 0 * SOUTH.x
    return np.stack([ramp] * count).astype(np.float32)


def test_planes_are_cut_where_their_grids_say():
    tiling = LocalPlanes(SOUTH, PROCESSOR)
    cut = tiling.cut(scene(northward_ramp()).isel(time=0))
    for grid, pixels, present in zip(tiling.grids, cut.pixels, cut.present, strict=True):
        columns, rows = np.meshgrid(range(16), range(16))
        _, lat = grid.pixel_to_lonlat(columns, rows)
        expected = (310 - (250 + 2 * (lat + 20))) / 120
        seen = np.isfinite(pixels[0])
        assert present == (seen.mean() >= 0.5)
        assert pixels[0][seen] == pytest.approx(expected[seen], abs=2e-3)


def test_tiles_are_called_by_their_centres():
    tiling = LocalPlanes(SOUTH, PROCESSOR, [local_plane(50.0, -20.0, size=16, km=40.0)])
    assert tiling.tiles == ((50.0, -20.0),)


def test_a_missing_frame_is_marked_and_never_a_copy():
    kelvin = northward_ramp(3)[[0, 2]]
    grids = [local_plane(50.0, -20.0, size=16, km=40.0)]
    frames = scene(kelvin).assign_coords(
        time=pd.to_datetime(["2020-01-01 00:00", "2020-01-01 02:00"])
    )
    reader = ClipReader(frames, PROCESSOR, LocalPlanes(SOUTH, PROCESSOR, grids))
    plans = plan_clips(
        pd.DatetimeIndex(frames["time"]), num_frames=2, cadence_minutes=60, ends_with_frame=True
    )
    last = list(reader.read(plans))[-1]
    assert not isinstance(last, SkippedClip)
    pixels = PROCESSOR.normalise(np.stack(last.tiles[0].frames))
    assert pixels.shape == PROCESSOR.clip_shape
    assert last.tiles[0].missing == 1
    assert (pixels[0] == 0).all()
    assert (pixels[1, 1] == 1).all()


def test_a_plane_without_its_newest_frame_is_skipped_with_a_reason():
    kelvin = northward_ramp(2)
    kelvin[1, :, :100] = np.nan
    grids = [local_plane(lon, -20.0, size=16, km=40.0) for lon in (44.0, 56.0)]
    frames = scene(kelvin)
    reader = ClipReader(frames, PROCESSOR, LocalPlanes(SOUTH, PROCESSOR, grids))
    plans = plan_clips(pd.DatetimeIndex(frames["time"]), num_frames=2, cadence_minutes=60)
    clip = list(reader.read(plans))[-1]
    assert not isinstance(clip, SkippedClip)
    assert [tile.tile.lon for tile in clip.tiles] == [56.0]
    assert "newest" in clip.skipped[0].reason


def test_a_processor_decides_what_tiles_are():
    fixed = MedicaneProcessor.infrared(tile_size=16, grid=SOUTH)
    assert len(tiling_of(SOUTH, fixed).tiles) == len(SOUTH.tiles(16))
    assert isinstance(tiling_of(SOUTH, PROCESSOR), LocalPlanes)


def test_an_overview_of_a_large_grid_is_thinned_on_the_same_ground():
    disk = Grid.full_disk(0.0)
    small = overview_grid(disk)
    assert max(small.width, small.height) <= 2000
    expected = np.stack(disk.pixel_to_lonlat(1800, 1800))
    assert np.stack(small.pixel_to_lonlat(900, 900)) == pytest.approx(expected)
