from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cold_spots import GRID, SPOT, predictor, scene
from PIL import Image

from medicane_models.prediction import products
from medicane_models.prediction.captions import scene_name
from medicane_models.prediction.kept_pictures import store_picture, stored_picture
from medicane_models.prediction.products import ProductWriter
from medicane_models.prediction.publishing import replacing_products


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to the maps, in order; nothing is drawn."""
    calls = []

    def draw(*pictures, **given):
        calls.append({"picture": pictures[0], "detections": pictures[2], **given})

    monkeypatch.setattr(products, "detection_map", draw)
    monkeypatch.setattr(products, "track_map", draw)
    monkeypatch.setattr(products, "save", lambda figure, path: None)
    return calls


def write(folder: Path, truth=None, warm=False, **attributes):
    """Judge three clips of a scene and write them; no cyclone is in a warm one."""
    pixels = scene(**attributes)
    if warm:
        pixels["IR_108"] = pixels["IR_108"].clip(min=290)
    run = predictor().run(pixels, every_minutes=30, pictures=True)
    writer = ProductWriter(folder, plot=True)
    if truth is not None:
        writer.add_truth(truth)
    for clip in run:
        writer.add(clip, run)
    detections = run.link()
    writer.write(detections)
    return detections


def test_a_cyclone_in_several_tiles_is_one_fix_with_the_id_of_its_track(drawn, tmp_path):
    detections = write(tmp_path)
    seen = drawn[0]["detections"]
    here = drawn[0]["tracks"].loc[lambda t: t["time"] == seen["time"].iloc[0]]
    assert seen["detected"].sum() > 1
    assert here[["track_id", "lon", "lat"]].to_numpy().tolist() == [
        [1, *detections.tracks[["lon", "lat"]].iloc[0]]
    ]


def test_a_picture_that_waits_for_its_tracks_is_kept_to_eight_bits(drawn, tmp_path):
    random = np.random.default_rng(0)
    picture = random.uniform(size=(5, 7, 3)).astype(np.float32)
    picture[2, 3] = np.nan
    store_picture(picture, tmp_path / "maps" / "a.png")
    kept = stored_picture(tmp_path / "maps" / "a.png")
    np.testing.assert_allclose(kept, picture, atol=0.5 / 255 + 1e-6)


def test_a_clip_without_a_centre_is_drawn_at_once(drawn, tmp_path):
    write(tmp_path, warm=True)
    assert [call.get("tracks") is None for call in drawn[:-1]] == [True] * len(drawn[:-1])
    assert len(drawn) == 4


def test_every_map_says_scene_time_and_models(drawn, tmp_path):
    write(tmp_path)
    assert drawn[0]["title"] == "Meteosat-11 · 2020-09-17 00:30 UTC"
    assert drawn[-1]["title"].startswith("Meteosat-11 · cyclone tracks · 2020-09-17 00:30–01:05")
    assert {call["subtitle"].partition(" · ")[0] for call in drawn} == {
        "found by oracle@abc and oracle@abc"
    }
    assert drawn[-1]["subtitle"].endswith(" · 1 track")


@pytest.mark.parametrize(
    ("told", "title"),
    [
        ({"platform": "Meteosat-11"}, "Meteosat-11"),
        ({"platform": "unknown", "sensor": "gridsat-b1"}, "GridSat-B1"),
        ({"platform": "unknown", "sensor": "unknown"}, "Satellite unknown"),
    ],
)
def test_a_map_names_the_satellite_or_else_the_product(told, title):
    assert scene_name({"scene": {"sensor": "seviri", **told}}) == title


@pytest.mark.parametrize(("platform", "warned"), [("simulated", True), ("Meteosat-11", False)])
def test_maps_of_simulated_scenes_say_so(drawn, tmp_path, platform, warned):
    write(tmp_path, platform=platform)
    assert [bool(call["caption"]) for call in drawn] == [warned] * 4


def test_the_truth_is_written_and_drawn_on_every_map(drawn, tmp_path):
    truth = pd.DataFrame({"track_id": ["a"], "time": [pd.Timestamp("2020-09-17 00:30")]})
    truth = truth.assign(lon=SPOT[0], lat=SPOT[1])
    write(tmp_path, truth)
    assert pd.read_csv(tmp_path / "truth.csv")["time"].tolist() == ["2020-09-17T00:30:00Z"]
    assert all(call["truth"] is truth for call in drawn)


def test_films_are_named_after_tracks_whatever_these_are_called(monkeypatch, tmp_path):
    stems = []
    monkeypatch.setattr(products, "write_film", lambda stem, frames: stems.append(stem))
    run = predictor().run(scene(), every_minutes=30, pictures=True)
    writer = ProductWriter(tmp_path, plot=False, animate=True)
    for clip in run:
        writer.add(clip, run)
    found = run.link()
    writer.write(replace(found, tracks=found.tracks.assign(track_id="../a b/ç")))
    assert stems == [tmp_path / "films" / "basin", tmp_path / "films" / "track_..-a-b-ç"]


def test_maps_replace_the_pictures_that_waited(tmp_path):
    write(tmp_path)
    maps = sorted((tmp_path / "maps").iterdir())
    assert len(maps) == 3
    for path in maps:
        with Image.open(path) as picture:
            assert picture.width > 10 * GRID.width


def test_the_density_of_tracks_is_drawn_without_other_maps_and_replaced(tmp_path):
    run = predictor().run(scene(), every_minutes=30)
    found = [*run] and run.link()
    for density in (True, False):
        chosen = {"plot": False, "report": False, "density": density}
        with replacing_products(tmp_path, **chosen, overwrite=True) as writer:
            writer.write(found)
        assert (tmp_path / "density.png").exists() is density
