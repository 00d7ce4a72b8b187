"""First guesses refined in scenes: on planes and fixed tiles, where the detector is silent, too."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cold_spots import GRID, SPOT, ColdestPixel, infrared
from cold_spots import scene as fixed_scene
from plane_scenes import grid_around, scene, threads_asked_for
from plane_scenes import predictor as pair_of

from medicane_models import MedicanePredictor, MedicaneProcessor
from medicane_models.domain import great_circle_km
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.files import json_text
from medicane_models.prediction.refinement import FirstGuess
from medicane_models.prediction.track_files.formats import FORMATS
from medicane_models.verification.evaluation import evaluate

PLANES = MedicaneProcessor.planes(size=32, km=20.0, low=300.0, high=200.0, mean=(0.0,), std=(1.0,))


class MappedPixel(ColdestPixel):
    """With a heat map about the coldest pixel, half a cell wide; no detector ever fires."""

    def probabilities(self, clips, *, rough_below=0.0):
        return np.array([0.01 for _ in clips])

    def centres(self, clips):
        found = super().centres(clips)
        rows, columns = np.indices((16, 16)) * 4 + 1.5 - 16
        x, y = (values[:, None, None] for values in found.center.T)
        maps = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / 4)
        return found._replace(heatmap=maps / maps.sum((1, 2), keepdims=True))


def predictor(processor=PLANES, runtime=None) -> MedicanePredictor:
    return pair_of(processor, runtime or MappedPixel())


def guesses(*places, start="2020-12-31", end="2021-01-02", km=48.0) -> FirstGuess:
    """Storms A, B … that stand still, with a position every 12 hours."""
    times = pd.date_range(start, end, freq="12h")
    tables = [
        pd.DataFrame({"track_id": name, "time": times, "lon": lon, "lat": lat})
        for name, (lon, lat) in zip("AB", places, strict=False)
    ]
    return FirstGuess(tracks=pd.concat(tables, ignore_index=True), mean_km=km, source="guess.csv")


def away(table, place) -> np.ndarray:
    return np.asarray(great_circle_km(table["lon"], table["lat"], *place))


@pytest.mark.parametrize("spot", [(20.0, 36.0), (179.95, 12.0), (-75.0, -18.0)])
def test_a_guess_is_pulled_to_the_storm_wherever_it_is(spot):
    beside = spot[0] + 1.0, spot[1] - 0.5
    seen, told = scene(spot, grid_around(*spot)), guesses(beside)
    found = predictor().predict(seen, first_guess=told)
    assert len(found.table) == 3
    assert not found.table["detected"].any()
    whole = great_circle_km(*beside, *spot)
    assert (away(found.table, spot) < 0.75 * whole).all()
    moved = found.table["guess_distance_km"].to_numpy()
    assert moved == pytest.approx(away(found.table, beside), abs=1e-3)


class ManyThreads(MappedPixel):
    threads = 3


def test_planes_around_guesses_are_sampled_on_as_many_threads(monkeypatch):
    asked = threads_asked_for(monkeypatch)
    spot = (20.0, 36.0)
    seen = scene(spot, grid_around(*spot))
    predictor(runtime=ManyThreads()).predict(seen, first_guess=guesses(spot))
    assert asked == [3, 3, 3]


def test_tracks_keep_their_names_and_tell_their_guesses(tmp_path):
    spot = (20.0, 36.0)
    found = predictor().predict(
        scene(spot, grid_around(*spot)), first_guess=guesses(spot, (22.0, 35.0))
    )
    assert found.tracks["track_id"].tolist() == ["A"] * 3 + ["B"] * 3
    found.write(tmp_path, tuple(FORMATS))
    written = pd.read_csv(tmp_path / "tracks.csv")
    assert written["guess_distance_km"].between(0, 200).all()
    assert xr.open_dataset(tmp_path / "tracks.nc")["guess_lon"].attrs["units"] == "degrees_east"
    told = found.provenance["settings"]["first_guess"]
    assert (told["source"], told["mean_km"]) == ("guess.csv", 48.0)


def test_all_that_is_known_of_their_making_is_in_the_files_or_beside_them(tmp_path):
    spot = (20.0, 36.0)
    found = predictor().predict(scene(spot, grid_around(*spot)), first_guess=guesses(spot))
    found.write(tmp_path, ["netcdf", "geojson"])
    told = json.loads((tmp_path / "detections.json").read_text())["provenance"]
    assert {"detector", "tracker", "settings", "software", "scene", "processor"} <= set(told)
    assert json.loads((tmp_path / "tracks.geojson").read_text())["provenance"] == told
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        for name in ("detector", "tracker", "settings", "software", "scene", "processor"):
            assert json.loads(data.attrs[name]) == told[name]


def test_the_rows_are_tracks_to_whoever_judges_them(tmp_path):
    spot = (20.0, 36.0)
    told = guesses(spot, (20.3, 36.2))
    found = predictor().predict(scene(spot, grid_around(*spot)), first_guess=told)
    found.write(tmp_path)
    told.tracks.to_csv(tmp_path / "truth.csv", index=False)
    reports = [
        evaluate(tmp_path / name, tmp_path / "truth.csv")
        for name in ("detections.csv", "tracks.csv")
    ]
    rows, tracks = (report["sections"] for report in reports)
    assert set(rows) == set(tracks)
    for name, section in rows.items():  # tracks tell of their smoothed centres, too
        alike = {score: tracks[name]["scores"][score] for score in section["scores"]}
        assert json_text(alike) == json_text(section["scores"])


def test_the_surer_the_guess_the_less_it_moves():
    spot = (20.0, 36.0)
    seen = scene(spot, grid_around(*spot))
    moved = [
        predictor()
        .predict(seen, first_guess=guesses((20.8, 36.4), km=km))
        .table["guess_distance_km"]
        .iloc[0]
        for km in (1.0, 20.0, 100.0)
    ]
    assert moved[0] < 0.5
    assert moved == sorted(moved)


def test_radii_measured_without_a_guess_are_not_those_of_a_product():
    spot = (20.0, 36.0)
    plain, calibrated = predictor(), predictor()
    config = calibrated.tracker.config.replace(radius_calibration=((0.1, 1.5), (3.0, 0.5)))
    calibrated.tracker = replace(calibrated.tracker, config=config)
    seen, told = scene(spot, grid_around(*spot)), guesses(spot)
    one, other = (each.predict(seen, first_guess=told).table for each in (plain, calibrated))
    columns = ["radius_50_km", "radius_95_km"]
    assert other[columns].to_numpy() == pytest.approx(one[columns].to_numpy())


def test_clips_without_a_guess_are_left_out():
    spot = (20.0, 36.0)
    told = guesses(spot, start="2021-01-01 01:00", end="2021-01-01 02:00")
    found = predictor().predict(scene(spot, grid_around(*spot)), first_guess=told)
    assert found.table["time"].dt.hour.tolist() == [1]


def test_a_fixed_tile_that_holds_the_guess_is_taken():
    told = guesses((SPOT[0] + 0.2, SPOT[1]), start="2020-09-16", end="2020-09-18")
    processor = infrared()
    found = predictor(processor).predict(fixed_scene(), domain="native", first_guess=told)
    x, _ = GRID.lonlat_to_pixel(*SPOT)
    assert (found.table["tile_x"].to_numpy() <= x).all()
    assert (away(found.table, SPOT) < found.table["guess_distance_km"]).all()


def test_a_file_about_other_times_is_refused():
    spot = (20.0, 36.0)
    told = guesses(spot, start="2010-01-01", end="2010-01-03")
    with pytest.raises(
        SceneError, match=r"^guess\.csv has no position between 2021.*; give tracks"
    ):
        predictor().predict(scene(spot, grid_around(*spot)), first_guess=told)


@pytest.mark.parametrize("kind", ["planes", "fixed"])
def test_guesses_outside_the_scene_are_refused(kind):
    planes = kind == "planes"
    seen = scene((20.0, 36.0), grid_around(20.0, 36.0)) if planes else fixed_scene()
    told = guesses((-60.0, 20.0), start="2020-09-01", end="2021-01-03")
    message = r"^no position of guess\.csv could be refined: .* outside the scene: A at -60.00°E"
    with pytest.raises(SceneError, match=message):
        predictor(PLANES if planes else infrared()).predict(seen, domain="native", first_guess=told)


def test_one_of_two_guesses_outside_the_scene_is_said_to_be():
    spot = (20.0, 36.0)
    told = guesses(spot, (-60.0, 20.0))
    found = predictor().predict(scene(spot, grid_around(*spot)), first_guess=told)
    assert set(found.tracks["track_id"]) == {"A"}
    assert all("B at -60.00°E" in clip.reason for clip in found.skipped)
    assert len(found.skipped) == 3


def test_a_predictor_without_a_tracker_is_refused():
    spot = (20.0, 36.0)
    alone = MedicanePredictor(MappedPixel(), detector=predictor().detector, tracker=None)
    with pytest.raises(ConfigurationError, match="a tracker refines a first guess"):
        alone.predict(scene(spot, grid_around(*spot)), first_guess=guesses(spot))


def test_an_export_without_its_heat_map_is_refused():
    spot = (20.0, 36.0)
    with pytest.raises(ConfigurationError, match="exported without its heat map"):
        predictor(runtime=ColdestPixel()).predict(
            scene(spot, grid_around(*spot)), first_guess=guesses(spot)
        )
