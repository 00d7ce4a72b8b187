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


AIRMASS = MedicaneProcessor.airmass_planes(size=16, km=40.0, num_frames=2)


def airmass_channels() -> xr.Dataset:
    """One frame of four channels, none of which tells which way the bands go."""
    wave = northward_ramp()
    kelvin = {"WV_062": 225 + (wave - 250) / 4, "WV_073": 240 + (wave - 250) / 3}
    kelvin |= {"IR_097": 250 - (wave - 250) / 2, "IR_108": 265 + 0 * wave}
    frame = scene(wave).drop_vars("IR_108")
    return frame.assign({name: (("time", "y", "x"), pixels) for name, pixels in kelvin.items()})


def test_airmass_planes_are_the_colours_of_the_channels_there():
    frame = airmass_channels().isel(time=0)
    tiling = LocalPlanes(SOUTH, AIRMASS)
    cut, kelvin = tiling.cut(frame), tiling.kelvin(frame)
    for pixels, (wv_062, wv_073, ir_097, ir_108) in zip(cut.pixels, kelvin, strict=True):
        red, green = (wv_062 - wv_073 + 25) / 25, (ir_097 - ir_108 + 40) / 45
        colours = np.clip([red, green, (243 - wv_062) / 35], 0, 1)
        np.testing.assert_allclose(pixels, colours, atol=1e-4)
        assert np.isfinite(pixels).any()


def test_ready_airmass_pictures_are_cut_like_their_channels():
    frame = airmass_channels().isel(time=0)
    colours = ("y", "x", "rgb"), np.moveaxis(AIRMASS.stretch(frame), 0, -1)
    picture = xr.Dataset({"airmass": colours}, frame.coords)
    by_channels, by_picture = (LocalPlanes(SOUTH, AIRMASS).cut(one) for one in (frame, picture))
    assert by_channels.present.tolist() == by_picture.present.tolist()
    np.testing.assert_array_equal(by_channels.overview, by_picture.overview)
    np.testing.assert_allclose(by_channels.pixels, by_picture.pixels, atol=0.01)


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
