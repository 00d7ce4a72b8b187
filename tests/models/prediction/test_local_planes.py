"""Prediction on local planes: any sensor, grid, cadence and hemisphere."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cold_spots import ColdestPixel
from plane_scenes import PROCESSOR, grid_around, predictor, scene, threads_asked_for

from medicane_models import MedicanePredictor
from medicane_models.domain import Grid, great_circle_km, local_plane
from medicane_models.errors import SceneError
from medicane_models.hub import AIRMASS_DETECTOR, TILE_DETECTOR
from medicane_models.scenes import clips
from medicane_models.verification.evaluation import evaluate
from medicane_models.verification.fixes import judge_run


@pytest.mark.parametrize("spot", [(20.0, 36.0), (-75.0, -18.0), (179.95, 12.0), (-179.95, -30.0)])
@pytest.mark.parametrize("minutes", [10, 60, 180])
def test_a_cold_spot_is_found_anywhere_at_any_cadence(spot, minutes):
    found = predictor().predict(scene(spot, grid_around(*spot), minutes)).table.query("detected")
    assert len(found)
    assert great_circle_km(found.lon, found.lat, *spot).max() < 15  # a pixel is 20 km


def test_a_scene_and_its_mirror_image_have_mirrored_detections():
    north = scene((20.0, 36.0), grid_around(20.0, 36.0))
    south = scene((20.0, -36.0), grid_around(20.0, -36.0))
    above, below = (predictor().predict(s).table.sort_values("tile_lon") for s in (north, south))
    rows = [
        table.assign(lat=abs(table.lat), tile_lat=abs(table.tile_lat)).sort_values(
            ["time", "tile_lat", "tile_lon"], ignore_index=True
        )[["probability", "lon", "lat", "radius_50_km"]]
        for table in (above, below)
    ]
    pd.testing.assert_frame_equal(*rows, atol=1e-4)


def test_fixes_have_the_time_of_their_frame():
    at = (20.0, 36.0)
    quarters = scene(at, grid_around(*at), minutes=15, frames=2)
    quarters["time"] = pd.to_datetime(["2020-09-06 00:30", "2020-09-06 00:45"])
    tracks = predictor().predict(quarters).tracks
    assert tracks.time.dt.strftime("%H:%M").tolist() == ["00:30", "00:45"]
    assert len(set(tracks.track_id)) == 1


def test_a_box_crops_the_scene_and_one_elsewhere_is_refused():
    at = (20.0, 36.0)
    whole = scene(at, grid_around(*at))
    inside = predictor().open(whole, domain="18,34,24,38")
    assert inside.sizes["x"] == pytest.approx(61, abs=3)
    assert (
        great_circle_km(
            *predictor().predict(inside).table.query("detected")[["lon", "lat"]].to_numpy().T, *at
        ).max()
        < 15
    )
    with pytest.raises(SceneError, match="does not overlap"):
        predictor().open(whole, domain="60,34,64,38")


@pytest.mark.parametrize("west", [-180.0, 0.0])
@pytest.mark.parametrize("box", ["170,-10,-165,15", "170,-10,195,15", "-15,-10,15,15"])
def test_a_box_across_the_seam_of_the_globe_is_whole(west, box):
    globe = Grid.lonlat(west=west, south=-60, east=west + 359.5, north=60, step_degrees=0.5)
    at = (182.0, 3.0) if box.startswith("170") else (-1.0, 3.0)
    seen = predictor().open(scene(at, globe, frames=1), domain=box)
    assert seen.sizes["x"] == pytest.approx(2 * (30 if box.startswith("-15") else 25), abs=2)
    assert np.isfinite(seen["IR_108"]).all()
    found = predictor().predict(seen).table.query("detected")
    assert great_circle_km(found.lon, found.lat, *at).min() < 30


@pytest.mark.parametrize("model", [AIRMASS_DETECTOR, TILE_DETECTOR])
def test_a_model_of_other_channels_says_so_wherever_the_scene_lies(model):
    airmass = MedicanePredictor.from_pretrained(model)
    with pytest.raises(SceneError, match=r"reads WV_062.*the scene of .* has IR_108; give files"):
        airmass.open(scene((140.0, 15.0), grid_around(140.0, 15.0)))


def test_a_scene_that_shows_too_little_of_a_plane_is_told_how_wide_one_is():
    at = (20.0, 36.0)
    small = Grid.lonlat(west=18, south=35, east=21, north=37, step_degrees=0.1)
    with pytest.raises(
        SceneError, match=r"3 of 4 frames there but .* any tile, .*; give .* 640 km wide"
    ):
        predictor().predict(scene(at, small))


@pytest.mark.parametrize(
    ("domain", "told"),
    [
        ("18,34,22,38", None),
        ("10,34,30,38", "of the domain .* off the scene, seen more than 75° from the vertical"),
        ((18, 35, 22, 60), "further than 40° from the equator"),
    ],
)
def test_a_domain_of_which_much_is_not_judged_is_told(domain, told):
    whole, model = scene((20.0, 36.0), grid_around(20.0, 36.0)), predictor()
    model.processor = replace(model.processor, latitude_limit=40.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = model.open(whole, domain=domain)
    said = [str(one.message) for one in caught if "not judged" in str(one.message)]
    assert bool(said) == bool(told) == ("unjudged_share" in opened.attrs)
    assert told is None or re.search(told, said[0])


def test_detections_on_planes_are_judged_and_written(tmp_path):
    at = (-75.0, -18.0)
    detections = predictor().predict(scene(at, grid_around(*at)))
    truth = pd.DataFrame({"storm": "one", "time": detections.table.time.unique()}).assign(
        track_id="one", lon=at[0], lat=at[1]
    )
    score = judge_run(detections, truth)
    assert score["positions"] == {"hits": 3, "false_alarms": 0, "misses": 0}
    detections.write(tmp_path)
    written = pd.read_csv(tmp_path / "detections.csv")
    assert written.tile_x.isna().all()
    assert written.tile_lat.between(-25, -11).all()
    truth.to_csv(tmp_path / "truth.csv", index=False)
    centres = evaluate(tmp_path, tmp_path / "truth.csv")["sections"]["centres"]
    assert centres["counts"]["centres"] == detections.table["detected"].sum()


def test_parallax_moves_fixes_towards_the_satellite_and_is_written_beside_them():
    at = (20.0, 36.0)
    seen = scene(at, grid_around(*at)).assign_attrs(sub_satellite_longitude=0.0)
    found = [predictor(parallax=parallax).predict(seen) for parallax in (False, True)]
    apparent, moved = (detections.table.query("detected") for detections in found)
    east, north = moved.parallax_east_km, moved.parallax_north_km
    assert apparent.parallax_east_km.isna().all()
    assert (east < -2).all()  # the satellite stands south-west, clouds of 210 K are 12 km high
    assert (north < -5).all()
    away = great_circle_km(apparent.lon, apparent.lat, moved.lon, moved.lat)
    assert away == pytest.approx(np.hypot(east, north).to_numpy(), rel=0.01)
    tracks = [detections.tracks.set_index("time") for detections in found]
    assert "parallax_east_km" not in tracks[0]
    shift = tracks[1].lat - tracks[0].lat
    assert tracks[1].parallax_north_km.to_numpy() == pytest.approx(shift * 111.195, rel=0.01)


def test_parallax_of_an_unknown_satellite_is_refused():
    at = (20.0, 36.0)
    with pytest.raises(SceneError, match="where the satellite stands"):
        predictor(parallax=True).predict(scene(at, grid_around(*at)))


def test_fixes_tell_when_their_pixels_were_seen():
    at = (20.0, 36.0)
    grid = grid_around(*at)
    first = pd.date_range("2021-01-01", periods=3, freq="h")
    scans = {"scan_time_north": first, "scan_time_south": first + pd.Timedelta("10min")}
    known = scene(at, grid).assign_coords({name: ("time", t) for name, t in scans.items()})
    found = predictor().predict(known).table.query("detected")
    middle = found.time + pd.Timedelta("5min")
    assert (abs(found.observed - middle) < pd.Timedelta("15s")).all()  # a row is 5 s
    unknown = predictor().predict(scene(at, grid)).table
    assert unknown.observed.isna().all()


class HalfWay(ColdestPixel):
    """Finds a cyclone only as far from the middle of its plane as half of the way."""

    def centres(self, clips):
        found = super().centres(clips)
        middle = (PROCESSOR.tile_size - 1) / 2
        return found._replace(center=middle + (found.center - middle) / 2)


def test_a_fix_is_sought_again_around_itself_until_all_planes_agree():
    at = (20.0, 36.0)
    halving = predictor(runtime=HalfWay())
    found = halving.predict(scene(at, grid_around(*at), frames=1)).table.query("detected")
    assert len(found) > 1  # planes overlap
    assert great_circle_km(found.lon, found.lat, *at).max() < 30  # of up to 160 at the first look
    middles = found[["tile_lon", "tile_lat"]].to_numpy().tolist()
    planes = [local_plane(*middle, size=32, km=20.0) for middle in middles]
    pixels = zip(planes, found.center_x, found.center_y, strict=True)
    placed = np.array([plane.pixel_to_lonlat(x, y) for plane, x, y in pixels])
    np.testing.assert_allclose(placed, found[["lon", "lat"]], atol=1e-4)


class OffCentre(ColdestPixel):
    """Sees cyclones that lie off the middle of their plane only."""

    def probabilities(self, clips, *, rough_below=0.0):
        clips = list(clips)
        middle = slice(PROCESSOR.tile_size // 2 - 2, PROCESSOR.tile_size // 2 + 2)
        centred = [float(clip[-1, 0, middle, middle].max()) > 0.5 for clip in clips]
        return np.where(centred, 0.2, super().probabilities(clips))


def test_what_is_no_cyclone_from_around_its_fix_is_none():
    at = (20.0, 36.0)
    doubting = predictor(runtime=OffCentre())
    table = doubting.predict(scene(at, grid_around(*at), frames=1)).table
    assert table["lon"].notna().any()  # the first look saw one
    assert not table["detected"].any()
    assert table["probability"].max() < 0.5


class ManyThreads(HalfWay):
    threads = 3


def test_planes_are_sampled_on_as_many_threads_as_models_compute_on(monkeypatch):
    asked = threads_asked_for(monkeypatch)
    at = (20.0, 36.0)
    predictor(runtime=ManyThreads()).predict(scene(at, grid_around(*at)))
    assert len(asked) > 1  # a second look is taken
    assert set(asked) == {3}


def test_a_frame_is_read_once_however_often_it_is_looked_at(monkeypatch):
    read = []

    def load_frame(pixels, row):
        read.append(row)
        return pixels.isel(time=row).compute()

    monkeypatch.setattr(clips, "load_frame", load_frame)
    at = (20.0, 36.0)
    halving = predictor(runtime=HalfWay())
    found = halving.predict(scene(at, grid_around(*at), minutes=60)).table
    assert found["lon"].notna().any()
    assert sorted(read) == sorted(set(read))
