import io
from pathlib import Path

import numpy as np
import pandas as pd
import plane_scenes
import pytest
from cold_spots import GRID, SPOT, predictor, scene
from PIL import Image

from medicane_models.domain import Grid
from medicane_models.maps.web_pictures import eight_bits
from medicane_models.prediction import page_pictures
from medicane_models.prediction.close_ups import close_ups_of
from medicane_models.prediction.detected_clips import DetectedClip
from medicane_models.prediction.kept_pictures import packed_close_ups, stored_close_ups
from medicane_models.prediction.page_pictures import PagePictures
from medicane_models.prediction.products import ProductWriter
from medicane_models.scenes import tiles
from medicane_models.scenes.plane_sampling import PlaneSampler

TIMES = pd.date_range("2020-09-17", periods=6, freq="h")


def grid(north: bool = True) -> Grid:
    south = 30 if north else -45
    return Grid.lonlat(west=0, south=south, east=30, north=south + 15, step_degrees=0.1)


def clip(
    time: pd.Timestamp, lon: float, lat: float, picture: np.ndarray, seen: Grid
) -> DetectedClip:
    row = {"time": time, "lon": lon, "lat": lat, "probability": 0.9, "missing_frames": 0}
    table = pd.DataFrame([row | {"radius_50_km": 20.0, "radius_95_km": 50.0}])

    def look(planes):
        return PlaneSampler(seen, planes)(np.moveaxis(picture[..., :1], -1, 0))

    near = close_ups_of(table, seen, look, merge_km=300.0)
    told = {"end": time, "newest_time": time, "table": table, "skipped": ()}
    return DetectedClip(**told, picture=picture, close_ups=near)


def kept(path: Path, *, north: bool = True, lat: float = 38.0) -> tuple[PagePictures, pd.DataFrame]:
    """Pictures of a storm that moves eastwards over a scene whose north is bright."""
    bright = np.linspace(1, 0, grid().height)[:, None, None]
    picture = np.broadcast_to(bright, (grid().height, grid().width, 3)).astype(np.float32)
    pictures = PagePictures(path / "pictures")
    for number, time in enumerate(TIMES):
        seen = clip(time, 10.0 + number / 10, lat, picture, grid(north))
        pictures.add(seen, grid(north), in_colour=False)
    tracks = pd.DataFrame({"track_id": 1, "time": TIMES, "lon": 10 + np.arange(6) / 10, "lat": lat})
    return pictures, tracks


@pytest.mark.parametrize(("north", "lat"), [(True, 38.0), (False, -38.0)])
def test_the_north_is_on_top_on_both_hemispheres(tmp_path, north, lat):
    pictures, tracks = kept(tmp_path, north=north, lat=lat)
    shown = pictures.of(tracks)[0]
    with Image.open(io.BytesIO(shown.content)) as image:
        grey = np.asarray(image.convert("L"), float)
    assert grey[:20].mean() > grey[-20:].mean() + 50
    x, y = shown.plane.lonlat_to_pixel([10.0, 10.0], [lat, lat + 1])
    np.testing.assert_allclose([x[0], y[0]], 159.5, atol=1e-3)
    assert y[1] < y[0]


def test_every_fix_has_the_picture_of_its_time(tmp_path):
    pictures, tracks = kept(tmp_path)
    shown = pictures.of(tracks)
    assert [shown[row].taken for row in range(6)] == list(TIMES)


def test_a_fix_far_from_every_picture_has_none(tmp_path):
    pictures, tracks = kept(tmp_path)
    assert pictures.of(tracks.assign(lat=41.0)) == {}


@pytest.mark.parametrize(("limit", "value"), [("MOST_PICTURES", 3), ("MOST_BYTES", 1000)])
def test_of_too_many_pictures_the_newest_stays(tmp_path, monkeypatch, limit, value):
    pictures, tracks = kept(tmp_path)
    sizes = [len(shown.content) for shown in pictures.of(tracks).values()]
    monkeypatch.setattr(page_pictures, limit, value)
    few = pictures.of(tracks)
    assert 5 in few
    assert len(few) < 6
    assert len(few) <= max(3, 1 + value // min(sizes))


def test_what_waits_on_disk_is_removed(tmp_path):
    pictures, _ = kept(tmp_path)
    assert pictures.path.stat().st_size > 0
    pictures.remove()
    assert not list(tmp_path.iterdir())


def test_a_clip_without_a_picture_leaves_none(tmp_path):
    pictures = PagePictures(tmp_path / "pictures")
    missing = DetectedClip(end=TIMES[0], newest_time=None, table=pd.DataFrame(), skipped=())
    pictures.add(missing, grid(), in_colour=False)
    assert pictures.overview is None


def test_the_cold_spot_is_in_the_middle_of_the_pictures_of_a_run(tmp_path):
    run = predictor().run(scene(), every_minutes=30, pictures=True)
    writer = ProductWriter(tmp_path, plot=False, report=True)
    for judged in run:
        writer.add(judged, run)
    fixes = run.link().tracks
    shown = writer.page_pictures.of(fixes)[0]
    with Image.open(io.BytesIO(shown.content)) as image:
        grey = np.asarray(image.convert("L"), float)
    y, x = np.argwhere(grey > grey.max() - 10).mean(axis=0)
    spot = np.stack(shown.plane.lonlat_to_pixel(*SPOT))
    np.testing.assert_allclose([x, y], spot, atol=2)
    assert writer.page_pictures.overview.pixels.shape == (GRID.height, GRID.width, 2)


@pytest.mark.parametrize(("step", "km"), [(0.01, 2.0), (0.025, 2.78), (0.07, 3.0)])
def test_close_ups_are_as_fine_as_the_scene_within_bounds(step, km):
    near = Grid.lonlat(west=8, south=36, east=12, north=40, step_degrees=step)
    picture = np.full((near.height, near.width, 3), 0.5, np.float32)
    (taken,) = clip(TIMES[0], 10.0, 38.0, picture, near).close_ups
    assert taken.km == pytest.approx(km, abs=0.01)
    assert len(taken.pixels) == round(960 / taken.km)


def test_close_ups_come_back_as_they_were_kept(tmp_path):
    picture = np.random.default_rng(0).random((grid().height, grid().width, 3), np.float32)
    taken = clip(TIMES[0], 10.0, 38.0, picture, grid()).close_ups
    (tmp_path / "near.npz").write_bytes(packed_close_ups(taken))
    (back,) = stored_close_ups(tmp_path / "near.npz")
    assert (back.lon, back.lat, back.km) == (taken[0].lon, taken[0].lat, taken[0].km)
    np.testing.assert_array_equal(back.pixels, taken[0].pixels)


def test_close_ups_are_finer_than_what_a_clip_has_of_local_planes(monkeypatch):
    monkeypatch.setattr(tiles, "OVERVIEW_PIXELS", 20)
    at = (20.0, 36.0)
    seen = plane_scenes.scene(at, plane_scenes.grid_around(*at), frames=1)
    (judged,) = plane_scenes.predictor().run(seen, pictures=True)
    (near,) = judged.close_ups
    kelvin = PlaneSampler(plane_scenes.grid_around(*at), [near.plane])(seen["IR_108"].to_numpy())
    expected = eight_bits(
        np.moveaxis(plane_scenes.PROCESSOR.bands_of({"IR_108": kelvin[0, 0]}), 0, -1)
    )
    assert max(judged.picture.shape) <= 20
    np.testing.assert_array_equal(near.pixels, expected)
