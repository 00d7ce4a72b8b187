import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medicane_models.cli import app
from medicane_models.domain import MEDITERRANEAN, Grid, great_circle_km
from medicane_models.errors import ConfigurationError, OutputError, SceneWarning
from medicane_models.maps.coastlines import land_mask
from medicane_models.scenes.opening import open_scene
from medicane_models.simulation import (
    CHANNELS,
    Instrument,
    Storm,
    StormKind,
    StormRates,
    draw_storms,
    simulate_scene,
    storm_table,
    write_simulation,
)
from medicane_models.simulation.scene import Frames

GRID = MEDITERRANEAN.window(620, 150, 300, 200)
CLEAN = Instrument(missing_frames=0, missing_lines=0)
START = pd.Timestamp("2021-10-29")
MATURE = pd.Timestamp("2021-10-30")
WITH_EYE = Storm(
    kind=StormKind.MEDICANE, birth=START, life_h=48, lon=19.3, lat=36.2, east_km_h=15,
    radius_km=150, core=3.0, bands=2.0, eye_km=35, top=0.9, spin_h=4,
)  # fmt: skip
MONTH = {"grid": MEDITERRANEAN, "start": "2021-01-01", "end": "2021-01-31", "seed": 5}


def weather(*storms, grid=GRID, instrument=CLEAN, seed=3) -> Frames:
    return Frames(grid, storms, instrument, seed=seed)


def infrared(storm: Storm, time=MATURE, **settings) -> np.ndarray:
    return weather(storm, **settings).at(time)[3]


def distance_from(lon, lat, grid=GRID):
    pixels = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    return great_circle_km(*grid.pixel_to_lonlat(*pixels), lon, lat)


def warmest_in_a_cold_ring(kelvin, near, grid=GRID):
    """Where the inner 20 km are warmest against the ring from 45 to 80 km, among places near."""

    def contrast(column, row):
        away = distance_from(*grid.pixel_to_lonlat(column, row), grid)
        return kelvin[away < 20].mean() - kelvin[(away > 45) & (away < 80)].mean()

    x, y = (round(float(v)) for v in near)
    places = [(x + dx, y + dy) for dx in range(-24, 25, 4) for dy in range(-16, 17, 4)]
    return max(places, key=lambda place: contrast(*place))


@pytest.fixture(scope="module")
def simulated():
    scene, truth = simulate_scene(hours=1, grid=GRID, seed=3, instrument=CLEAN)
    return scene, truth, scene.isel(time=6).compute()


@pytest.fixture(scope="module")
def mixed_weather():
    """A frame in kelvin by channel, with a mature storm in it."""
    return dict(zip(CHANNELS, weather(WITH_EYE).at(MATURE), strict=True))


def test_scene_has_the_form_of_a_real_one(simulated):
    scene, truth, frame = simulated
    assert tuple(scene.data_vars) == CHANNELS
    assert scene["IR_108"].dims == ("time", "y", "x")
    assert scene.attrs["platform"] == "simulated"
    assert list(truth.time) == list(scene.indexes["time"])
    assert list(truth.columns[:4]) == ["track_id", "time", "lon", "lat"]
    assert all(frame[name].dtype == np.float32 for name in CHANNELS)


def test_the_true_centre_is_the_warm_eye_in_a_cold_ring():
    lon, lat = WITH_EYE.centre(24)
    x, y = GRID.lonlat_to_pixel(lon, lat)
    found = warmest_in_a_cold_ring(infrared(WITH_EYE), (x + 5, y - 4))
    assert great_circle_km(*GRID.pixel_to_lonlat(*found), lon, lat) < 20


def test_the_clouds_turn_counter_clockwise_around_the_centre():
    angles = np.radians(np.arange(0, 360, 4))
    lon, lat = WITH_EYE.centre(24)
    ring_lon = lon + 0.8 * np.cos(angles) / np.cos(np.radians(lat))
    x, y = GRID.lonlat_to_pixel(ring_lon, lat + 0.8 * np.sin(angles))
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    still = Storm(**{**vars(WITH_EYE), "east_km_h": 0.0, "lon": lon, "lat": lat, "shear": 0.0})
    ring = [
        infrared(still, MATURE + pd.Timedelta(minutes=minutes))[row, column] for minutes in (0, 20)
    ]
    before, after = (np.fft.rfft(values - values.mean()) for values in ring)
    turn = np.fft.irfft(after * before.conj())[1:20].max()
    against = np.fft.irfft(after * before.conj())[-19:].max()
    assert turn > against


def test_a_southern_storm_is_a_mirror_image():
    grids = [
        Grid.lonlat(west=17, south=sign * 36 - 3, east=22, north=sign * 36 + 3, step_degrees=0.1)
        for sign in (1, -1)
    ]
    north = Storm(**{**vars(WITH_EYE), "lat": 36.0})
    south = Storm(**{**vars(north), "lat": -36.0})
    shields = [
        weather(storm, grid=grid).weather.sky(MATURE).shield
        for storm, grid in zip((north, south), grids, strict=True)
    ]
    assert np.corrcoef(shields[0].ravel(), shields[1][::-1].ravel())[0, 1] > 0.9


def test_a_storm_grows_and_decays():
    intensity = [WITH_EYE.intensity(age) for age in (-1, 0, 8, 24, 44, 48, 50)]
    assert intensity[0] == intensity[1] == intensity[-1] == 0
    assert intensity[2] < intensity[3] == 1 > intensity[4] > 0


def test_the_centre_moves_at_the_speed_asked_for():
    track = storm_table([WITH_EYE], pd.date_range(MATURE, periods=7, freq="h"))
    first, last = track.iloc[0], track.iloc[-1]
    assert great_circle_km(first.lon, first.lat, last.lon, last.lat) == pytest.approx(90, rel=0.02)


def test_the_same_seed_gives_the_same_scene_and_another_does_not():
    frames = [weather(WITH_EYE, seed=seed).at(MATURE) for seed in (3, 3, 4)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_frames_do_not_depend_on_the_frames_before():
    times = pd.date_range(MATURE, periods=8, freq="20min")
    in_order = weather(WITH_EYE)
    frames = [in_order.at(time) for time in times]
    assert np.array_equal(weather(WITH_EYE).at(times[-1]), frames[-1])
    assert np.array_equal(in_order.at(times[0]), frames[0])


def test_weather_changes_smoothly_in_time():
    frames = weather()
    first, next_, later = (
        frames.at(MATURE + pd.Timedelta(minutes=m))[0].ravel() for m in (0, 5, 180)
    )
    assert np.corrcoef(first, next_)[0, 1] > 0.98
    assert np.corrcoef(first, later)[0, 1] < np.corrcoef(first, next_)[0, 1]


def test_grids_that_overlap_see_the_same_weather():
    part = MEDITERRANEAN.window(700, 190, 140, 120)
    wide = weather().at(MATURE)[0]
    narrow = weather(grid=part).at(MATURE)[0]
    assert abs(np.median(wide[40:160, 80:220] - narrow)) < 1.0
    assert np.corrcoef(wide[40:160, 80:220].ravel(), narrow.ravel())[0, 1] > 0.8


def test_pixels_beside_the_earth_are_missing():
    limb = Grid.full_disk(9.5).window(650, 300, 300, 200)
    frame = weather(grid=limb).at(MATURE)
    lon, _ = limb.pixel_to_lonlat(*np.meshgrid(np.arange(300), np.arange(200)))
    assert 0.1 < np.isfinite(lon).mean() < 0.9
    assert (np.isfinite(frame[3]) == np.isfinite(lon)).all()
    assert 195 < np.nanmin(frame[3]) < np.nanmax(frame[3]) < 330


def test_high_cold_clouds_are_cold_in_all_channels(mixed_weather):
    cold = mixed_weather["IR_108"] < 225
    assert cold.sum() > 100
    for name in CHANNELS:
        assert mixed_weather[name][cold].mean() < mixed_weather[name][~cold].mean() - 10
    assert abs(mixed_weather["WV_062"][cold] - mixed_weather["WV_073"][cold]).mean() < 6


def test_clear_air_has_the_order_of_weighting_functions(mixed_weather):
    clear = mixed_weather["IR_108"] > 285
    assert (mixed_weather["WV_062"][clear] < mixed_weather["WV_073"][clear]).all()
    assert (mixed_weather["WV_073"][clear] < mixed_weather["IR_108"][clear]).all()
    assert np.median((mixed_weather["IR_097"] - mixed_weather["IR_108"])[clear]) < -20


def test_brightness_temperatures_are_in_the_range_of_seviri(mixed_weather):
    limits = {
        "WV_062": (195, 256),
        "WV_073": (195, 280),
        "IR_097": (200, 290),
        "IR_108": (195, 320),
    }
    for name, (low, high) in limits.items():
        assert low < mixed_weather[name].min() < mixed_weather[name].max() < high


def test_low_clouds_are_invisible_to_water_vapour_channels():
    frames = weather()
    sky = frames.weather.sky(MATURE)
    before = frames.weather.frame(MATURE)
    frames.weather._background = lambda *_: sky
    sky.low += 3
    sky.cells[:] = 0
    after = frames.weather.frame(MATURE)
    covered = before[3] > 285
    assert (before[3] - after[3])[covered].mean() > 5
    assert np.array_equal(before[0][covered], after[0][covered])


def test_dry_stratospheric_air_shows_in_vapour_and_ozone():
    fold = Storm(
        kind=StormKind.FOLD, birth=START, life_h=48, lon=19.3, lat=36.2, radius_km=300, dry=3
    )
    change = dict(zip(CHANNELS, weather(fold).at(MATURE) - weather().at(MATURE), strict=True))
    centre = distance_from(19.3, 36.2) < 30
    difference = (change["WV_062"] - change["WV_073"])[centre].mean()
    assert difference > 2
    assert (change["IR_097"] - change["IR_108"])[centre].mean() < -2


def test_land_is_warmer_by_day_and_the_sea_is_not():
    frames = weather(grid=MEDITERRANEAN.window(300, 250, 200, 150))
    land = land_mask(frames.weather.grid)
    night, noon = (frames.weather._ground(24 * 8000 + hour) for hour in (4, 12))
    assert (noon - night)[land].min() > 5
    assert frames.weather.column(32000).sea.std() < 5


def test_noise_has_the_deviation_asked_for():
    quiet, noisy = (
        weather(instrument=Instrument(noise_kelvin=k, missing_frames=0, missing_lines=0))
        for k in (0, 0.5)
    )
    assert (noisy.at(MATURE) - quiet.at(MATURE)).std() == pytest.approx(0.5, rel=0.01)


def test_frames_and_lines_are_missing_at_the_rates_asked_for():
    recorder = weather(instrument=Instrument(missing_frames=0.1, missing_lines=0.02)).recorder
    frames = [recorder.is_missing(minute) for minute in range(0, 20_000, 5)]
    assert np.mean(frames) == pytest.approx(0.1, rel=0.15)
    lines = [
        np.isnan(recorder.record(np.zeros((4, 200, 2), np.float32), minute)).mean()
        for minute in range(0, 2000, 5)
    ]
    assert np.mean(lines) == pytest.approx(0.02, rel=0.15)


def test_the_rapid_scanning_service_pauses():
    recorder = weather(instrument=Instrument(missing_frames=0, pause_hours=48)).recorder
    missing = [recorder.is_missing(minute) for minute in range(0, 280 * 24 * 60, 30)]
    assert np.mean(missing) == pytest.approx(2 / 28, rel=0.02)


def test_storms_of_a_month_are_the_same_however_it_is_cut():
    whole = draw_storms(StormRates(), **MONTH)
    parts = {
        storm
        for start, end in (("2021-01-01", "2021-01-11"), ("2021-01-11", "2021-01-31"))
        for storm in draw_storms(StormRates(), **{**MONTH, "start": start, "end": end})
    }
    assert parts == set(whole)
    assert len({storm.kind for storm in whole}) > 3


def test_medicanes_are_varied_and_mostly_over_the_sea():
    storms = draw_storms(
        StormRates(medicane=40, cut_off_low=0, comma=0, cluster=0, fold=0), **MONTH
    )
    radii = [storm.radius_km for storm in storms]
    assert 80 <= min(radii) < 110
    assert 240 < max(radii) <= 300
    assert 0.3 < np.mean([storm.eye_km > 0 for storm in storms]) < 0.7
    track = storm_table(storms, pd.date_range("2021-01-01", "2021-01-31", freq="3h"))
    x, y = MEDITERRANEAN.lonlat_to_pixel(track.lon, track.lat)
    inside = MEDITERRANEAN.contains(x, y)
    land = land_mask(MEDITERRANEAN)
    over_land = land[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    assert inside.mean() > 0.8
    assert over_land.mean() < 0.3


def test_look_alikes_have_no_centre_in_the_truth():
    storms = draw_storms(StormRates(medicane=0), **MONTH)
    scene, truth = simulate_scene(start="2021-01-12", hours=1, storms=storms, grid=GRID)
    assert len(storms) > 5
    assert truth.empty
    assert scene.sizes["time"] == 13


def test_a_written_scene_opens_as_the_one_in_memory(tmp_path):
    settings = {"start": MATURE, "hours": 0.5, "grid": GRID, "seed": 4}
    rates = StormRates(medicane=30)
    written = write_simulation(tmp_path / "a.zarr", rates=rates, instrument=CLEAN, **settings)
    storms = draw_storms(rates, grid=GRID, start=MATURE, end=MATURE + pd.Timedelta("30min"), seed=4)
    scene, truth = simulate_scene(storms=storms, instrument=CLEAN, **settings)
    read, expected = (s.isel(time=3).compute() for s in (open_scene(written.scene), scene))
    for name in CHANNELS:
        np.testing.assert_allclose(read[name], expected[name], atol=0.051)
    assert read.attrs["platform"] == "simulated"
    tracks = pd.read_csv(written.tracks)
    assert list(tracks.track_id) == list(truth.track_id)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.lookalikes.csv", "a.tracks.csv", "a.zarr",
    ]  # fmt: skip


def test_missing_frames_of_a_written_scene_are_nan(tmp_path):
    gone = Instrument(missing_frames=1)
    path = tmp_path / "gone.zarr"
    write_simulation(path, start=MATURE, hours=0, grid=GRID, instrument=gone)
    with pytest.warns(SceneWarning, match="the frame is missing"):
        assert np.isnan(open_scene(path)["IR_108"].values).all()


def test_a_failed_write_leaves_nothing(tmp_path):
    def fail(times):
        yield times[0]
        raise OSError("disk full")

    path = tmp_path / "new" / "a.zarr"
    with pytest.raises(OSError, match="disk full"):
        write_simulation(path, start=MATURE, hours=1, grid=GRID, progress=fail)
    assert not list(tmp_path.iterdir())


def test_a_store_whose_folder_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written \(File name too long\)"):
        write_simulation(tmp_path / ("n" * 300) / "a.zarr", start=MATURE, hours=0, grid=GRID)


def test_an_existing_store_is_not_overwritten(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(ConfigurationError, match="exists"):
        write_simulation(tmp_path / "a.zarr", start=MATURE, hours=0)


def test_the_command_writes_a_scene_and_its_truth(tmp_path):
    out = tmp_path / "scene.zarr"
    run = CliRunner().invoke(
        app, ["simulate", "--hours", "0", "--no-gaps", "--storms", "60", "--out", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert open_scene(out).sizes == {"time": 1, "y": 420, "x": 1290}
    assert "medicane" in (tmp_path / "scene.tracks.csv").read_text()


def test_the_command_wants_a_length(tmp_path):
    run = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path / "scene.zarr")])
    assert isinstance(run.exception, ConfigurationError)
    assert "--hours" in str(run.exception)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (lambda: Instrument(missing_frames=2), "missing_frames is 2"),
        (
            lambda: simulate_scene(grid=MEDITERRANEAN.window(-90000, 0, 9, 9)),
            "nothing of the Earth",
        ),
        (lambda: StormRates(comma=-1), "rate of comma"),
        (lambda: simulate_scene(seed=-1), "seed is -1"),
        (lambda: simulate_scene(cadence_minutes=0), "cadence_minutes is 0"),
        (lambda: Storm(kind=StormKind.FOLD, birth=START, life_h=0, lon=0, lat=40), "life_h 0"),
    ],
)
def test_impossible_settings_are_refused(wrong, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        wrong()
