"""Cyclones of the infrared window: what forecasters would see in them, and reproducibility."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import local_plane
from medicane_models.domain.azimuthal import from_azimuthal
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.opening import scene_grid
from medicane_models.simulation.backdrops import draw_mix
from medicane_models.simulation.cyclone_draws import draw_cyclone, draw_lookalike
from medicane_models.simulation.cyclones import LOOKALIKES, Cyclone, CycloneKind
from medicane_models.simulation.infrared import (
    InfraredScene,
    cyclone_table,
    himawari_box,
    lay_over,
    simulate_infrared,
)
from medicane_models.simulation.places import Locality
from medicane_models.simulation.qualities import PictureQuality, draw_quality, seen_part

NOON = pd.Timestamp("2020-08-20 12:00")
WARM = 295.0
FAULTLESS = PictureQuality(noise_kelvin=0.0)


def place(lat: float, *, size: int = 96, km: float = 10.0) -> Locality:
    centre = (140.0, lat)
    return Locality(grid=local_plane(*centre, size=size, km=km), centre=centre, time=NOON)


def storm(lat: float, **changes) -> Cyclone:
    drawn = draw_cyclone(NOON, seed=4, kind=CycloneKind.EYE)
    still = {"east_km_h": 0.0, "poleward_km_h": 0.0, "meander_km": 0.0, "radius_km": 260.0}
    return replace(drawn, lon=140.0, lat=lat, **{**still, **changes})


def over_sea(cyclone: Cyclone, where: Locality, time: pd.Timestamp = NOON) -> np.ndarray:
    """The cyclone alone, over 295 K everywhere."""
    return lay_over(np.full(where.x.shape, WARM, np.float32), where, [cyclone], time)


@pytest.mark.parametrize("lat", [18.0, -18.0])
def test_clear_eye_is_the_warm_spot_at_the_true_centre(lat):
    eye = storm(lat, eye_km=30.0, eye_fill=0.0, eye_ratio=1.0, ragged=0.1, shear_km=0.0)
    where = place(lat)
    kelvin = over_sea(eye, where)
    x, y = (float(v) for v in where.grid.lonlat_to_pixel(*eye.centre(0.0)))
    rows, columns = np.mgrid[:96, :96]
    near = np.hypot(columns - x, rows - y) * 10 < 70
    weight = np.where(near, np.clip(kelvin - np.median(kelvin[near]), 0, None), 0)
    assert abs((weight * columns).sum() / weight.sum() - x) < 1
    assert abs((weight * rows).sum() / weight.sum() - y) < 1


def turned(lat: float) -> float:
    """Degrees counter-clockwise from east to north that clouds go around within an hour."""
    cyclone = storm(lat, eye_km=0.0, shield=0.0, bands=1.0, cells=0.0, outflow=0.0, spin_h=6.0)
    angles = np.radians(np.arange(0, 360, 2.0))
    rings = []
    for time in (NOON, NOON + pd.Timedelta(hours=1)):
        where = place(lat)
        kelvin = over_sea(cyclone, where, time)
        lon, lat_ = from_azimuthal((140.0, lat), 9e4 * np.cos(angles), 9e4 * np.sin(angles))
        x, y = where.grid.lonlat_to_pixel(lon, lat_)
        rings.append(kelvin[np.rint(y).astype(int), np.rint(x).astype(int)])
    shifts = np.arange(-30, 31)
    match = [np.corrcoef(np.roll(rings[0], s), rings[1])[0, 1] for s in shifts]
    return 2.0 * shifts[int(np.argmax(match))]


def test_clouds_turn_counter_clockwise_in_the_north_and_clockwise_in_the_south():
    assert turned(18.0) > 5
    assert turned(-18.0) < -5


@pytest.mark.parametrize("lat", [15.0, -15.0])
def test_shear_moves_the_cold_shield_off_the_centre(lat):
    sheared = storm(lat, eye_km=0.0, shear_km=200.0, shear_degrees=90.0, cells=0.0)
    sheared = replace(sheared, bands=0.0, outflow=0.0, low=0.0, shield=1.0)
    where = place(lat)
    cold = over_sea(sheared, where) < 235
    assert cold.any()
    assert abs(where.x[cold].mean()) < 60
    assert where.y[cold].mean() == pytest.approx(200, abs=70)  # poleward


def test_background_far_from_the_cyclone_is_unchanged_and_gaps_stay():
    where = place(20.0, size=200)
    real = np.random.default_rng(0).uniform(220, 300, where.x.shape).astype(np.float32)
    real[:30] = np.nan
    laid = lay_over(real, where, [storm(20.0, radius_km=120.0, low_km=120.0, shear_km=0.0)], NOON)
    far = np.hypot(where.x, where.y) > 700
    np.testing.assert_array_equal(laid[far], real[far])
    assert np.isnan(laid[:30]).all()
    assert np.abs(laid - real)[~far & np.isfinite(real)].max() > 30


def scene(seed: int = 5) -> InfraredScene:
    cyclones = [storm(16.0), replace(draw_lookalike(NOON, seed=seed), lon=147.0, lat=16.0)]
    return InfraredScene(
        place=place(16.0, size=64), mix=draw_mix(16.0, seed=seed), cyclones=cyclones, seed=seed
    )


def test_moments_agree_in_any_order_and_seeds_differ():
    times = [NOON + pd.Timedelta(hours=h) for h in range(3)]
    forwards, backwards = scene(), scene()
    one = [forwards.at(time) for time in times]
    other = [backwards.at(time) for time in times[::-1]][::-1]
    np.testing.assert_array_equal(one, other)
    assert not np.allclose(one[0], scene(6).at(times[0]))
    assert not np.allclose(one[0], one[1])


def test_most_cyclones_are_weak_and_every_kind_comes():
    drawn = [draw_cyclone(NOON, seed=seed) for seed in range(400)]
    assert {one.kind for one in drawn} == set(CycloneKind) - set(LOOKALIKES)
    assert 0.6 < np.mean([one.wind_kt < 64 for one in drawn]) < 0.8
    assert {one.poleward for one in drawn} == {1, -1}


def test_lookalikes_have_no_centre_in_the_truth():
    kinds = [draw_lookalike(NOON, seed=seed) for seed in range(30)]
    assert {one.kind for one in kinds} == set(LOOKALIKES)
    assert cyclone_table(kinds, pd.DatetimeIndex([NOON])).empty


@pytest.mark.parametrize("changes", [{"life_h": 0.0}, {"radius_km": -1.0}, {"spin_h": 0.0}])
def test_impossible_cyclones_are_refused(changes):
    with pytest.raises(ConfigurationError, match="positive"):
        storm(10.0, **changes)


def test_cyclones_off_the_earth_are_refused():
    with pytest.raises(ConfigurationError, match="give a point on Earth"):
        storm(91.0)


def test_pictures_are_coarse_grey_and_noisy_as_asked():
    rows = np.linspace(200, 300, 60, dtype=np.float32)
    kelvin = np.repeat(rows[:, None], 60, axis=1)
    grey = replace(FAULTLESS, greys=16, coldest_kelvin=220.0, warmest_kelvin=280.0)
    shown = grey.record(kelvin, grid_km=10.0, seed=1, frame=0)
    assert len(np.unique(shown.round(3))) <= 16
    assert shown.min() == 220
    assert shown.max() == 280
    noisy = replace(FAULTLESS, noise_kelvin=2.0).record(kelvin, grid_km=10.0, seed=1, frame=0)
    assert np.std(noisy - FAULTLESS.record(kelvin, grid_km=10.0, seed=1, frame=0)) == pytest.approx(
        2, rel=0.1
    )


def test_missing_lines_and_gaps_are_nan_and_nothing_else():
    kelvin = np.full((100, 50), 280, np.float32)
    kelvin[:5, :5] = np.nan
    shown = replace(FAULTLESS, missing_lines=0.2).record(kelvin, grid_km=10.0, seed=2, frame=0)
    lost = np.isnan(shown).all(axis=1)
    assert 0 < lost.sum() < 60
    assert np.isnan(shown[:5, :5]).all()
    assert np.isfinite(shown[~lost][:, 5:]).all()


def test_qualities_differ_and_the_middle_of_a_plane_is_seen():
    assert len({draw_quality(seed=seed) for seed in range(20)}) == 20
    assert all(seen_part(80, seed=seed)[40, 40] for seed in range(50))


def test_simulated_scene_is_one_of_the_imager_with_its_truth():
    grid = himawari_box(size=96)
    simulated, truth = simulate_infrared(hours=3, grid=grid, seed=1)
    assert simulated.attrs["platform"] == "simulated"
    assert simulated.attrs["sensor"] == "ahi"
    assert scene_grid(simulated) == grid
    assert list(truth["time"].unique()) == list(simulated["time"].to_numpy())
    assert truth["lat"].max() < 0
    kelvin = simulated["IR_108"].isel(time=1).to_numpy()
    assert 180 < np.nanmin(kelvin) < np.nanmax(kelvin) < 320
