import json
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from cold_spots import GRID, SPOT, oracle, predictor, scene
from PIL import Image

from medicane_models import AutoMedicaneModel, MedicaneProcessor
from medicane_models.domain import MEDITERRANEAN, Grid, great_circle_km, parse_box
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.hub import TILE_DETECTOR, TILE_TRACKER
from medicane_models.prediction.detections import DETECTION_COLUMNS
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.runtimes.interface import cyclone_index, pick_device
from medicane_models.scenes.opening import scene_grid


def nearest_pixel_centre(grid: Grid) -> tuple[float, float]:
    lon, lat = grid.pixel_to_lonlat(*(v.round() for v in grid.lonlat_to_pixel(*SPOT)))
    return float(lon), float(lat)


def test_a_cold_spot_is_found_where_it_is():
    table = predictor().predict(scene()).table
    found = table[table.detected]
    lon, lat = nearest_pixel_centre(GRID)
    assert tuple(table.columns) == DETECTION_COLUMNS
    assert len(found) == 4  # two overlapping tiles, at 01:00 and at the newest frame
    assert found.lon.to_numpy() == pytest.approx(lon, abs=1e-6)
    assert found.lat.to_numpy() == pytest.approx(lat, abs=1e-6)


def test_radii_are_those_of_the_covariance_on_the_ground():
    table = predictor().predict(scene()).table
    found = table[table.detected].iloc[0]
    east, north = GRID.pixel_size_km(*GRID.lonlat_to_pixel(found.lon, found.lat))
    # two pixels of standard deviation on each axis: between the two circles of a round normal
    assert 2 * east * 1.1774 < found.radius_50_km < 2 * north * 1.1774
    assert 2 * east * 2.4477 < found.radius_95_km < 2 * north * 2.4477


def test_radii_are_calibrated_as_the_tracker_says():
    calibrated = predictor()
    config = calibrated.tracker.config.replace(radius_calibration=((0.5, 1.0), (1.0, 2.0)))
    calibrated.tracker = replace(calibrated.tracker, config=config)
    plain, fitted = (
        each.predict(scene()).table.query("detected") for each in (predictor(), calibrated)
    )
    assert fitted.radius_50_km.to_numpy() == pytest.approx(plain.radius_50_km.to_numpy() / 2)
    assert fitted.radius_95_km.to_numpy() == pytest.approx(plain.radius_95_km.to_numpy() ** 2)


def test_tiles_without_a_cyclone_have_no_centre():
    table = predictor().predict(scene()).table
    calm = table[table.probability < 0.3]
    assert len(calm)
    assert calm[["center_x", "lat", "radius_50_km"]].isna().all(axis=None)


def test_a_scene_of_another_longitude_is_resampled_onto_the_model_s_pixels():
    other = Grid.full_disk(0.0).covering(GRID, margin=3)
    found = predictor(threshold=0.4).predict(scene(other)).table.query("detected")
    lon, lat = nearest_pixel_centre(other)
    assert great_circle_km(found.lon, found.lat, lon, lat).max() < 5  # a pixel is 3 × 4.4 km
    assert len(found)


def test_pixels_of_another_size_are_refused_once_opened():
    coarse = Grid.lonlat(west=17, south=35, east=21, north=40, step_degrees=0.1)
    with pytest.raises(SceneError, match=r"pixels .* are not those of oracle"):
        predictor().run(scene(coarse))


def test_native_domain_keeps_the_extent_of_a_scene():
    wide = MEDITERRANEAN.window(560, 150, 200, 120)
    opened = predictor().open(scene(wide), domain="native")
    assert scene_grid(opened).offset_in(MEDITERRANEAN) == (560, 150)
    assert scene_grid(opened).width == 200


def test_times_that_mean_the_start_of_the_scan_are_moved_to_its_end():
    table = predictor().predict(scene(time_convention="start_of_scan")).table
    assert table.time.max() == pd.Timestamp("2020-09-17 01:10")


def test_hourly_frames_that_mean_the_start_of_a_scan_are_refused():
    hourly = scene(time_convention="start_of_scan").isel(time=[0, 12])
    with pytest.raises(SceneError, match=r"a frame every 60 min, the model reads one every 5"):
        predictor().predict(hourly)


def test_a_slower_service_is_refused_by_its_cadence():
    with pytest.raises(SceneError, match=r"a frame every 15 min, the model reads one every 5 min"):
        predictor(max_missing=3).predict(scene().isel(time=slice(0, None, 3)))


def test_a_clip_tells_when_its_picture_was_taken():
    late = scene().isel(time=slice(0, 12))  # the frames of 00:55 and before
    table = predictor().predict(late.isel(time=[*range(10), 11])).table
    assert (table.newest_frame == pd.Timestamp("2020-09-17 00:55")).all()


def test_another_sensor_is_refused_by_name():
    with pytest.raises(SceneError, match="of seviri, the scene comes from abi"):
        predictor().predict(scene(sensor="abi", platform="GOES-16"))


def test_too_few_frames_are_refused_with_the_reason():
    with pytest.raises(SceneError, match=r"ending 2020-09-17 00:00:00 has 3 of 4 frames missing"):
        predictor().predict(scene(frames=1))


def test_a_scene_that_covers_no_tile_is_refused_with_the_reason():
    with pytest.raises(SceneError, match="4 of 4 frames there but showing less"):
        predictor().predict(scene(GRID.window(30, 18, 20, 12)))


def test_start_and_end_bound_the_ends_of_clips():
    start, end = pd.Timestamp("2020-09-17 00:30"), pd.Timestamp("2020-09-17 00:50")
    table = predictor().predict(scene(), start=start, end=end, every_minutes=10).table
    assert table.time.unique().tolist() == list(pd.date_range(start, end, freq="10min"))


@pytest.mark.parametrize("models", ["start_of_scan", "end_of_scan"])
@pytest.mark.parametrize("scenes", ["start_of_scan", "end_of_scan"])
@pytest.mark.parametrize("late_seconds", [-120, 0, 120])
def test_one_instant_is_judged_whatever_times_mean(models, scenes, late_seconds):
    given = scene(time_convention=scenes)
    given["time"] = given["time"] + pd.Timedelta(seconds=late_seconds)
    instant = pd.Timestamp("2020-09-17 01:00")
    table = predictor(time_convention=models).predict(given, start=instant, end=instant).table
    assert set(table.time) == {instant}
    assert (table.missing_frames == 0).all()


def test_json_repeats_the_table_with_its_provenance(tmp_path):
    detections = predictor().predict(scene())
    detections.write_json(tmp_path / "detections.json")
    detections.write_csv(tmp_path / "detections.csv")
    stored = json.loads((tmp_path / "detections.json").read_text())
    assert pd.read_csv(tmp_path / "detections.csv").probability.tolist() == [
        row["probability"] for row in stored["detections"]
    ]
    assert stored["provenance"]["detector"]["trained_on"] == "a closed form"
    assert stored["provenance"]["detector"]["data_kind"] == "real"
    assert stored["provenance"]["scene"]["platform"] == "Meteosat-11"
    assert stored["skipped"][0]["reason"] == "3 of 4 frames missing, at most 2 allowed"


@pytest.fixture(scope="module")
def embedded() -> MedicanePredictor:
    return MedicanePredictor.from_pretrained(TILE_DETECTOR, device="cpu")


def test_untrained_models_say_so(tmp_path):
    for name in (TILE_DETECTOR, TILE_TRACKER):
        model = AutoMedicaneModel.from_pretrained(name)
        model.config = replace(model.config, trained_on=None)
        model.save_pretrained(tmp_path / name)
        MedicaneProcessor.from_pretrained(name).save_pretrained(tmp_path / name)
    predictor = MedicanePredictor.from_pretrained(
        tmp_path / TILE_DETECTOR, tmp_path / TILE_TRACKER, device="cpu", threshold=1e-9
    )
    with pytest.warns(UserWarning, match="UNTRAINED"):
        detections = predictor.predict(airmass_scene(), domain="native")
    assert detections.table["model"].str.contains("UNTRAINED").all()
    assert detections.tracks["track_id"].str.startswith("untrained-").all()
    assert "UNTRAINED" in detections.provenance["warning"]


def test_models_of_simulated_weather_say_so_on_real_scenes(embedded):
    names = f"{TILE_DETECTOR} and {TILE_TRACKER}"
    with pytest.warns(UserWarning, match=f"{names}: trained on simulated"):
        embedded.predict(airmass_scene(), domain="native")
    simulated = airmass_scene().assign_attrs(platform="simulated")
    assert embedded.predict(simulated, domain="native").provenance["warning"] is None


@pytest.mark.parametrize(
    ("data_kind", "platform", "said"),
    [
        ("real", "Meteosat-11", None),
        ("real", "simulated", None),
        ("simulated", "Meteosat-11", "trained on simulated scenes"),
        ("simulated", "unknown", "trained on simulated scenes"),
        ("simulated", "simulated", None),
        ("mixed", "Meteosat-11", None),
        (None, "Meteosat-11", "nobody said what it was trained on"),
        (None, "simulated", "nobody said what it was trained on"),
    ],
)
@pytest.mark.parametrize("trained_on", ["Real storms, none simulated.", "SIMULATED scenes."])
def test_a_caution_follows_from_the_kind_of_data_alone(trained_on, data_kind, platform, said):
    model = oracle("classification")
    told = model.config.replace(trained_on=trained_on, data_kind=data_kind)
    caution = replace(model, config=told).caution(platform)
    assert caution is None if said is None else said in str(caution)


def airmass_scene() -> xr.Dataset:
    channels = {"WV_062": 225.0, "WV_073": 240.0, "IR_097": 250.0, "IR_108": 275.0}
    infrared_scene = scene(MEDITERRANEAN.window(500, 100, 240, 230), frames=16)
    noise = infrared_scene["IR_108"] - 294.5
    return infrared_scene.drop_vars("IR_108").assign(
        {name: (noise + kelvin).assign_attrs(units="K", grid_mapping="crs")
         for name, kelvin in channels.items()}
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*simulated scenes")
def test_probabilities_are_the_model_s_own(embedded):
    table = embedded.predict(airmass_scene(), domain="native").table
    frames = airmass_scene().isel(x=slice(0, 224), y=slice(0, 224))
    processor = MedicaneProcessor.from_pretrained("medicane-tiny-detector")
    clip = np.stack([processor.stretch(frames.isel(time=row)) for row in range(16)])
    model = AutoMedicaneModel.from_pretrained("medicane-tiny-detector")
    with torch.inference_mode():
        output = model(torch.from_numpy(processor.normalise(clip)[None]))
    expected = (output.logits / model.config.temperature).softmax(-1)[0, 1].item()
    assert table.query("tile_x == 0 and tile_y == 0").probability.item() == pytest.approx(
        expected, abs=1e-6
    )


def test_a_tracker_cannot_take_the_detector_s_place():
    with pytest.raises(ConfigurationError, match="is a tracking model; a classification model"):
        MedicanePredictor.from_pretrained("medicane-tiny-tracker", device="cpu")


def test_only_the_tile_s_own_class_counts_as_a_cyclone():
    config = AutoMedicaneModel.from_pretrained("medicane-tiny-detector").config
    labels = {0: "no_cyclone", 1: "cyclone", 2: "neighbouring_tile"}
    assert cyclone_index(config.replace(id2label=labels)) == 1
    with pytest.raises(ConfigurationError, match="one must be 'cyclone'"):
        cyclone_index(config.replace(id2label={0: "calm", 1: "storm"}))


def test_unknown_devices_are_refused():
    with pytest.raises(ConfigurationError, match="'mps' is none of auto, cpu, cuda"):
        pick_device("mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused_when_asked_for():
    with pytest.raises(ConfigurationError, match="finds no GPU"):
        pick_device("cuda")


def test_a_box_in_degrees_lies_on_the_model_s_lattice():
    box = parse_box("10,34,20,40", MEDITERRANEAN)
    assert box.offset_in(MEDITERRANEAN) is not None
    assert box.contains(*box.lonlat_to_pixel([10, 20], [34, 40])).all()


@pytest.mark.parametrize("text", ["20,34,10,40", "0,80,10,120", "-inf,30,inf,45", "somewhere"])
def test_a_domain_that_is_no_box_is_refused(text):
    with pytest.raises(ConfigurationError, match=f"domain '{text}'"):
        predictor().open(scene(), domain=text)


@pytest.mark.parametrize("box", [(13.8, 36.9, 14.6, 37.4), np.array([13.8, 36.9, 14.6, 37.4])])
def test_a_domain_may_be_four_numbers(box):
    grid = scene_grid(predictor().open(scene(), domain=box))
    assert grid == scene_grid(predictor().open(scene(), domain="13.8,36.9,14.6,37.4"))


def test_a_domain_of_three_numbers_is_refused():
    with pytest.raises(ConfigurationError, match=r"domain \(100, 10, 140\) is neither model, nor"):
        predictor().open(scene(), domain=(100, 10, 140))


def test_a_time_range_without_frames_is_told_as_it_was_asked_for():
    with pytest.raises(SceneError, match=r"no clip ends from 2019-01-01 .* to 2019-01-02 00:00:00"):
        predictor().open(scene(), start="2019-01-01", end="2019-01-02")


def test_pictures_are_opened_where_the_extent_says(tmp_path):
    pixels = np.random.default_rng(0).integers(60, 200, (60, 80), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "20200917_1205.png")
    opened = predictor().open(tmp_path, extent="13.8,36.9,14.6,37.5", domain="native")
    west, south, east, north = scene_grid(opened).extent
    assert 13.7 < west < east < 14.7
    assert 36.8 < south < north < 37.6


def test_a_grid_of_another_projection_is_covered_with_the_model_s_pixels():
    box = Grid.lonlat(west=13.8, south=36.9, east=14.6, north=37.4, step_degrees=0.1)
    assert scene_grid(predictor().open(scene(), domain=box)).offset_in(MEDITERRANEAN)


def test_tracks_follow_from_the_detections():
    tracks = predictor().predict(scene()).tracks
    lon, lat = nearest_pixel_centre(GRID)
    assert set(tracks.track_id) == {tracks.track_id.iloc[0]}
    assert tracks.lon.to_numpy() == pytest.approx(lon, abs=1e-4)
    assert tracks.lat.to_numpy() == pytest.approx(lat, abs=1e-4)


def test_provenance_tells_what_was_really_done():
    detections = predictor().predict(scene(time_convention="start_of_scan"), every_minutes=30)
    told = detections.provenance
    assert told["scene"]["time_convention"] == "end_of_scan"
    assert told["scene"]["last_frame"] == "2020-09-17T01:10:00"
    assert told["settings"]["every_minutes"] == 30
    assert told["complete"]


def frames_alive(monkeypatch) -> list:
    """References to every stretched frame that is made from now on."""
    made, stretch = [], MedicaneProcessor.stretch

    def recorded(self, frame):
        pixels = stretch(self, frame)
        made.append(weakref.ref(pixels))
        return pixels

    monkeypatch.setattr(MedicaneProcessor, "stretch", recorded)
    return made


@pytest.mark.parametrize("pictures", [False, True])
def test_a_run_holds_the_frames_of_one_clip_however_long_it_is(monkeypatch, pictures):
    made = frames_alive(monkeypatch)
    held = 5 if pictures else 4  # a clip's, and the one whose picture was made last
    run = predictor().stream(scene(frames=20), every_minutes=5, pictures=pictures)
    for _ in run:
        assert sum(frame() is not None for frame in made) <= held
    assert len(made) == 20


def test_nothing_of_a_picture_is_made_where_none_is_asked_for(monkeypatch):
    monkeypatch.setattr(MedicaneProcessor, "picture", lambda *_: pytest.fail("a picture"))
    made = frames_alive(monkeypatch)
    detections = predictor().predict(scene(), every_minutes=5)
    assert len(detections.table)
    assert not any(frame() is not None for frame in made)


def test_a_stream_yields_what_predict_returns():
    run = predictor().stream(scene(), every_minutes=5)
    tables = [clip.table for clip in run]
    expected = predictor().predict(scene(), every_minutes=5)
    assert len(run) == len(tables)
    pd.testing.assert_frame_equal(run.link().table, expected.table)
    pd.testing.assert_frame_equal(run.link().tracks, expected.tracks)
    assert sum(map(len, tables)) == len(expected.table)


def test_a_stream_that_was_left_links_what_it_judged():
    run = predictor().stream(scene(), every_minutes=5)
    ends = [next(run).end for _ in range(3)]
    assert run.link().table.time.max() == ends[-1]
    assert not run.link().provenance["complete"]


def test_pictures_come_with_the_clips_where_asked_for():
    *_, last = predictor().stream(scene(), pictures=True)
    assert last.picture.shape == (GRID.height, GRID.width, 3)
    assert last.newest_time == pd.Timestamp("2020-09-17 01:05")
