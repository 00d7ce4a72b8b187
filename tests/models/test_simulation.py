import numpy as np
import pytest

from medicane_models.domain import MEDITERRANEAN, great_circle_km
from medicane_models.simulation import CHANNELS, Medicane, simulate_scene

GRID = MEDITERRANEAN.window(620, 150, 300, 200)


@pytest.fixture(scope="module")
def simulated():
    scene, truth = simulate_scene(hours=1, grid=GRID, seed=3)
    return scene, truth, scene.isel(time=6).compute()


def distance_from_centre(truth, row):
    lon, lat = GRID.pixel_to_lonlat(*np.meshgrid(np.arange(300), np.arange(200)))
    return great_circle_km(lon, lat, truth.lon[row], truth.lat[row])


def test_scene_has_the_form_of_a_real_one(simulated):
    scene, truth, frame = simulated
    assert tuple(scene.data_vars) == CHANNELS
    assert scene["IR_108"].dims == ("time", "y", "x")
    assert scene.attrs["platform"] == "simulated"
    assert list(truth.time) == list(scene.indexes["time"])
    assert all(190 < float(frame[name].min()) < float(frame[name].max()) < 320 for name in CHANNELS)


def test_the_true_centre_is_a_warm_eye_in_a_cold_ring(simulated):
    _, truth, frame = simulated
    radius = distance_from_centre(truth, 6)
    eye, ring, far = (
        float(frame["IR_108"].values[(radius >= low) & (radius < high)].mean())
        for low, high in ((0, 12), (40, 90), (300, 400))
    )
    assert eye > ring + 10
    assert far > ring + 20


def test_cold_clouds_are_cold_in_all_channels(simulated):
    frame = simulated[2]
    coldest = frame["IR_108"].values < np.quantile(frame["IR_108"].values, 0.02)
    for name in CHANNELS:
        assert frame[name].values[coldest].mean() < frame[name].values[~coldest].mean()


def test_the_centre_moves_at_the_speed_asked_for():
    _, truth = simulate_scene(hours=6, grid=GRID, medicane=Medicane(speed_km_h=20))
    first, last = truth.iloc[0], truth.iloc[-1]
    assert great_circle_km(first.lon, first.lat, last.lon, last.lat) == pytest.approx(120, rel=0.1)


def test_the_same_seed_gives_the_same_scene_and_another_does_not(simulated):
    frame = simulated[2]["IR_108"].values
    for seed, same in ((3, True), (4, False)):
        scene, _ = simulate_scene(hours=1, grid=GRID, seed=seed)
        assert np.array_equal(scene["IR_108"].isel(time=6).values, frame) == same
