import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cold_spots import GRID, SPOT, predictor, scene
from PIL import Image

from medicane_models.domain import Grid
from medicane_models.prediction import page_pictures
from medicane_models.prediction.page_pictures import PagePictures
from medicane_models.prediction.products import ProductWriter
from medicane_models.prediction.run import DetectedClip

TIMES = pd.date_range("2020-09-17", periods=6, freq="h")


def grid(north: bool = True) -> Grid:
    south = 30 if north else -45
    return Grid.lonlat(west=0, south=south, east=30, north=south + 15, step_degrees=0.1)


def clip(time: pd.Timestamp, lon: float, lat: float, picture: np.ndarray) -> DetectedClip:
    row = {"time": time, "lon": lon, "lat": lat, "probability": 0.9}
    table = pd.DataFrame([row | {"radius_50_km": 20.0, "radius_95_km": 50.0}])
    return DetectedClip(end=time, newest_time=time, table=table, skipped=(), picture=picture)


def kept(path: Path, *, north: bool = True, lat: float = 38.0) -> tuple[PagePictures, pd.DataFrame]:
    """Pictures of a storm that moves eastwards over a scene whose north is bright."""
    bright = np.linspace(1, 0, grid().height)[:, None, None]
    picture = np.broadcast_to(bright, (grid().height, grid().width, 3)).astype(np.float32)
    pictures = PagePictures(path / "pictures")
    for number, time in enumerate(TIMES):
        seen = clip(time, 10.0 + number / 10, lat, picture)
        pictures.add(seen, grid(north), merge_km=300.0, in_colour=False)
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
    pictures.add(missing, grid(), merge_km=300.0, in_colour=False)
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
