import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.domain import EARTH_RADIUS_KM, great_circle_km
from medicane_models.prediction.motion import MotionModel
from medicane_models.prediction.smoothing import smoothed, smoothed_motion
from medicane_models.prediction.tracks import MOTION_COLUMNS
from tests.support.dense_motion import dense_estimate

MODEL = MotionModel()
GEOD = pyproj.Geod(a=EARTH_RADIUS_KM * 1000, f=0)
RADIUS_50, RADIUS_95 = np.sqrt(2 * np.log(2)), np.sqrt(2 * np.log(20))


def track(lon, lat, *, hours=None, deviation=20.0, track_id=1):
    hours = np.arange(len(lon)) if hours is None else np.asarray(hours)
    return pd.DataFrame(
        {
            "track_id": track_id,
            "time": pd.Timestamp("2020-09-17") + pd.to_timedelta(hours, "h"),
            "lon": lon,
            "lat": lat,
            "radius_50_km": RADIUS_50 * deviation,
            "radius_95_km": RADIUS_95 * deviation,
        }
    )


def steady(start, towards, *, hours, km_per_hour):
    """Places along a great circle."""
    return np.array([GEOD.fwd(*start, towards, h * km_per_hour * 1000)[:2] for h in hours]).T


def test_the_smoother_is_least_squares_over_all_fixes():
    rng = np.random.default_rng(0)
    hours = np.cumsum(rng.uniform(0.25, 4, 12))
    place, deviation = rng.normal(0, 60, (12, 3)), rng.uniform(5, 80, 12)
    motion = smoothed_motion(hours, place, deviation, MODEL)
    for axis in range(3):
        states, covariance = dense_estimate(hours, place[:, axis], deviation, MODEL)
        blocks = [covariance[i : i + 3, i : i + 3] for i in range(0, 36, 3)]
        assert motion.mean[..., axis] == pytest.approx(states, rel=1e-6, abs=1e-6)
        assert motion.covariance == pytest.approx(np.stack(blocks), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("start", "towards"),
    [((15.0, 38.0), 70), ((179.5, -15.0), 250), ((-179.5, 20.0), 290), ((0.0, 88.0), 10)],
    ids=["Mediterranean", "south", "antimeridian", "over the pole"],
)
def test_steady_cyclones_are_where_they_are_and_go_where_they_go(start, towards):
    hours = np.arange(25)
    lon, lat = steady(start, towards, hours=hours, km_per_hour=30.0)
    found = smoothed(track(lon, lat, deviation=10.0))
    away = great_circle_km(lon, lat, found["smooth_lon"], found["smooth_lat"])
    assert away.max() < 1.5
    assert found["speed_kt"][6:19].to_numpy() == pytest.approx(30 / 1.852, rel=0.02)
    middle = GEOD.inv(lon[12], lat[12], lon[13], lat[13])[0]
    assert np.cos(np.radians(found["heading"][12] - middle)) == pytest.approx(1, abs=1e-4)


def simulated(rng, *, hours, deviation, model=MODEL):
    """True places and fixes of a cyclone as the model has it, along three axes."""
    motion = np.zeros((3, 3))
    motion[1] = rng.normal(0, model.speed_km_per_hour, 3)
    motion[2] = rng.normal(0, 1, 3)
    step, noise = model.transition(np.array(1.0))
    truth, fixes = [], []
    for _ in range(hours):
        share = model.lasting_share
        error = np.sqrt(share) * motion[2] + np.sqrt(1 - share) * rng.normal(0, 1, 3)
        truth.append(motion[0])
        fixes.append(motion[0] + deviation * error)
        motion = step @ motion + rng.multivariate_normal(np.zeros(3), noise, 3).T
    return np.array(truth), np.array(fixes)


def test_smoothed_circles_hold_what_they_promise_though_errors_last():
    rng = np.random.default_rng(3)
    deviation, inside = np.full(24, 40.0), []
    for _ in range(300):
        truth, fixes = simulated(rng, hours=24, deviation=40.0)
        motion = smoothed_motion(np.arange(24.0), fixes, deviation, MODEL)
        off = np.hypot(*(motion.mean[:, 0] - truth)[:, :2].T)
        inside.append(off[:, None] <= np.outer(motion.deviation_km, [RADIUS_50, RADIUS_95]))
    assert np.mean(inside, axis=(0, 1)) == pytest.approx([0.5, 0.95], abs=0.04)


def test_errors_taken_for_independent_would_promise_too_much():
    naive = MotionModel(lasting_share=1e-6)
    rng, inside = np.random.default_rng(3), []
    for _ in range(60):
        truth, fixes = simulated(rng, hours=24, deviation=40.0)
        motion = smoothed_motion(np.arange(24.0), fixes, np.full(24, 40.0), naive)
        off = np.hypot(*(motion.mean[:, 0] - truth)[:, :2].T)
        inside.append(off <= RADIUS_95 * motion.deviation_km)
    assert np.mean(inside) < 0.8


def test_radii_shrink_with_agreement_and_fixes_stay():
    rng = np.random.default_rng(0)
    lon, lat = 15 + rng.normal(0, 0.1, 24), 38 + rng.normal(0, 0.1, 24)
    given = track(lon, lat, deviation=rng.uniform(20, 60, 24))
    found = smoothed(given)
    for share in (50, 95):
        assert (found[f"smooth_radius_{share}_km"] < found[f"radius_{share}_km"]).all()
    assert found[["lon", "lat"]].to_numpy() == pytest.approx(np.stack([lon, lat], axis=1))
    ratio = found["smooth_radius_95_km"] / found["smooth_radius_50_km"]
    assert ratio.to_numpy() == pytest.approx(RADIUS_95 / RADIUS_50)


def test_one_fix_stays_where_it_is_and_its_speed_is_unknown():
    found = smoothed(track([15.0], [38.0])).iloc[0]
    assert (found["smooth_lon"], found["smooth_lat"]) == pytest.approx((15, 38))
    assert found["smooth_radius_95_km"] == pytest.approx(found["radius_95_km"])
    assert found[["speed_kt", "heading"]].isna().all()


def test_fixes_without_a_radius_stay_unknown_and_change_nothing():
    sure = track(np.linspace(15, 17, 9), np.linspace(38, 39, 9))
    mixed = sure.copy()
    mixed.loc[4, ["lon", "lat", "radius_95_km"]] = 30, 30, np.nan
    found, without = smoothed(mixed), smoothed(sure.drop(index=4))
    columns = list(MOTION_COLUMNS)
    assert found.loc[4, columns].isna().all()
    pd.testing.assert_frame_equal(
        found.drop(index=4)[columns].reset_index(drop=True), without[columns]
    )
    assert smoothed(sure.assign(radius_95_km=np.nan))[columns].isna().all(axis=None)


def test_tracks_do_not_mix_and_none_gives_none():
    one = track([15.0, 15.2, 15.4], [38.0, 38.0, 38.1])
    two = track([-60.0, -60.5, -61.0], [15.0, 15.0, 15.0], track_id=2)
    both = smoothed(pd.concat([two, one]).sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(
        both, pd.concat([smoothed(one), smoothed(two)], ignore_index=True)
    )
    assert set(MOTION_COLUMNS) < set(smoothed(one.iloc[:0]).columns)


def test_a_perfect_fix_is_believed():
    perfect = track([15.0, 15.2, 15.4], [38.0, 38.0, 38.1], deviation=np.array([20.0, 0.0, 20.0]))
    found = smoothed(perfect)
    assert found["smooth_lon"][1] == pytest.approx(15.2)
    assert found["smooth_radius_95_km"][1] == 0
