import numpy as np
import pandas as pd
import pytest
from clip_stores import PROCESSOR, small_store
from scipy.ndimage import gaussian_filter

from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import Band, MedicaneProcessor
from medicane_training.scores.baselines import (
    baseline_centres,
    cold_cloud_centroid,
    coldest_mean_kelvin,
    coldest_means,
    coldest_place,
    last_frame_kelvin,
    persistence,
)
from medicane_training.store.cloud_bands import CloudBand
from medicane_training.store.spirals import SpiralSettings, spiral_gradient, spiral_score


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("baselines") / "s.zarr")


def test_the_coldest_mean_is_that_of_the_coldest_box():
    kelvin = np.random.default_rng(0).uniform(200, 300, (20, 24))
    kelvin[3, 7] = np.nan
    boxes = np.lib.stride_tricks.sliding_window_view(kelvin, (10, 15))  # 60 km of 6 and 4 km
    expected = np.nanmean(boxes, axis=(2, 3)).min()
    assert coldest_mean_kelvin(kelvin, (4.0, 6.0)) == pytest.approx(expected)


def test_the_coldest_place_is_the_middle_of_that_box():
    kelvin = np.full((20, 24), 280.0)
    kelvin[5:15, 3:18] = 200.0  # 60 km of 6 and 4 km
    assert coldest_place(kelvin, (4.0, 6.0)).tolist() == [10.0, 9.5]
    nothing = np.full((20, 24), np.nan)
    assert coldest_place(nothing, (4.0, 6.0)).tolist() == [11.5, 11.5]


def test_a_box_that_is_mostly_missing_does_not_count():
    kelvin = np.full((30, 30), 280.0)
    kelvin[:10, :10] = np.nan
    kelvin[9, 9] = 190.0  # alone among missing pixels
    assert coldest_mean_kelvin(kelvin, (6.0, 6.0)) > 270
    assert np.isnan(coldest_mean_kelvin(np.full((30, 30), np.nan), (6.0, 6.0)))


def test_the_infrared_window_shows_the_clouds_and_else_water_vapour():
    assert CloudBand.of(PROCESSOR).channel == "IR_108"
    airmass = CloudBand.of(MedicaneProcessor.airmass())
    assert (airmass.channel, airmass.index) == ("WV_062", 2)
    stretched = np.zeros((3, 1, 2))
    stretched[2] = [[0.0, 1.0]]
    assert airmass.kelvin(stretched).tolist() == [[243.0, 208.0]]


def test_differences_alone_are_refused():
    band = Band(name="red", channel="WV_062", minus="WV_073", low=-25.0, high=0.0)
    processor = MedicaneProcessor(
        recipe="channels", sensor="seviri", bands=(band,), mean=(0.5,), std=(0.2,)
    )
    with pytest.raises(ConfigurationError, match=r"tracking\.baselines"):
        CloudBand.of(processor)


def test_coldest_means_of_a_store_are_those_of_its_last_frames(store):
    band = CloudBand.of(store.processor)
    means = coldest_means(store, [0, 17])
    tile = store.tile(17)
    size = store.processor.grid.pixel_size_km(tile.x + 15.5, tile.y + 15.5)
    frame = last_frame_kelvin(store, 17, band)
    np.testing.assert_allclose(frame, 300 - store.read(17)[-1, 0] / 2.54, atol=1e-3)
    assert means[1] == pytest.approx(coldest_mean_kelvin(frame, (float(size[0]), float(size[1]))))


def spiral(size: int, center: tuple[float, float], inflow_degrees: float) -> np.ndarray:
    """Bands of cloud along logarithmic spirals, wound inwards anticlockwise; north is up.

    Kelvin change along the normals alone, which point to θ + inflow from east at the angle θ.
    """
    y, x = np.mgrid[:size, :size].astype(float)
    east, north = x - center[0], center[1] - y
    inflow = np.radians(inflow_degrees)
    across = np.cos(inflow) * np.log(np.hypot(east, north) + 1e-9)
    across = across + np.sin(inflow) * np.arctan2(north, east)
    return 250 + 30 * np.cos(2 * across / np.sin(inflow))


SOUTHWARDS = np.array([[5.0, 0.0], [0.0, -5.0]])  # kilometres east and north by column and row


@pytest.mark.parametrize("center", [(80.0, 96.0), (50.0, 120.0)])
def test_the_spiral_score_is_best_at_the_centre_of_a_spiral(center):
    settings = SpiralSettings(radius_km=250, inflow_degrees=20)
    found = spiral_gradient(spiral(160, center, 20), SOUTHWARDS, settings=settings)
    assert np.hypot(*(found - center)) * 5 < 20


def test_the_sense_of_rotation_changes_with_the_hemisphere():
    settings = SpiralSettings(radius_km=250, inflow_degrees=35)
    mirrored = spiral(160, (79.0, 79.0), 35)[:, ::-1]  # the centre is at 80, 79
    right, wrong = (
        spiral_score(mirrored, SOUTHWARDS, southern=southern, settings=settings)[0].max()
        for southern in (True, False)
    )
    assert right > 1.2 * wrong


def test_the_spiral_score_is_the_sum_over_gradients():
    """The correlation by FFT against the definition, at one trial centre near the border."""
    kelvin = np.random.default_rng(1).uniform(220, 290, (20, 24))
    kelvin[5, 6] = np.nan
    settings = SpiralSettings(radius_km=60, step_km=10, smoothing_px=0.8)
    to_km = np.array([[9.5, 1.0], [0.5, -9.0]])
    score, block = spiral_score(kelvin, to_km, settings=settings)
    there = np.isfinite(kelvin)
    total, weight = (
        gaussian_filter(values, 0.8) for values in (np.where(there, kelvin, 0.0), there * 1.0)
    )
    smooth = np.where(there, total / weight, 0)
    expected, (column, row) = 0.0, (4, 3)
    for y in range(1, 19):
        for x in range(1, 23):
            east, north = to_km @ (x - column, y - row)
            distance = np.hypot(east, north)
            if distance > 60 or not there[y - 1 : y + 2, x - 1 : x + 2].all():
                continue
            by_pixel = (smooth[y, x + 1] - smooth[y, x - 1], smooth[y + 1, x] - smooth[y - 1, x])
            gradient = np.linalg.inv(to_km).T @ np.divide(by_pixel, 2)
            angle = np.arctan2(gradient[1], gradient[0])
            normal = np.arctan2(north, east) + np.radians(5)
            size = np.log1p(np.hypot(*gradient) * 10)
            expected += size * np.cos(2 * (angle - normal)) / max(distance / 10, 1) ** 0.5
    assert block == 1
    assert score[row, column] == pytest.approx(expected)


def test_the_centroid_lies_in_the_cold_cloud():
    kelvin = np.full((40, 60), 290.0)
    kelvin[10:15, 30:41] = 220.0
    kelvin[:, 0] = np.nan
    np.testing.assert_allclose(cold_cloud_centroid(kelvin, coldest=0.1), [35.0, 12.0])


@pytest.mark.parametrize("value", [280.0, np.nan])
def test_a_tile_without_contrast_or_data_has_its_middle_for_a_centre(value):
    kelvin = np.full((8, 8), value)
    assert cold_cloud_centroid(kelvin).tolist() == [3.5, 3.5]
    assert spiral_gradient(kelvin, SOUTHWARDS).tolist() == [3.5, 3.5]


def test_persistence_is_the_position_of_an_hour_ago():
    times = pd.date_range("2020-09-17 02:00", periods=3, freq="h", unit="ns")
    tracks = pd.DataFrame({"track_id": "a", "time": times, "lon": [1.0, 2.0, 3.0], "lat": 40.0})
    storms = np.array(["a", "b", "a", "a"])
    ends = np.array(
        ["2020-09-17T04:00", "2020-09-17T04:00", "2020-09-17T02:30", "2020-09-17T03:00"]
    )
    found = persistence(tracks, storms, ends.astype("datetime64[ns]"))
    np.testing.assert_allclose(found[[0, 3]], [[2.0, 40.0], [1.0, 40.0]])
    assert np.isnan(found[[1, 2]]).all()  # no such storm; not yet there


def test_baselines_of_a_store_are_in_pixels_of_the_tiles(store):
    rows = np.flatnonzero(store.clips["storm"] == "first")
    rows = rows[store.clips["label"].to_numpy()[rows] == 1]
    found = baseline_centres(store, rows)
    targets = store.clips.iloc[rows][["target_x", "target_y"]].to_numpy()
    known = np.isfinite(found["centre 1 h ago"][:, 0])
    assert known.any()
    assert not known.all()
    np.testing.assert_allclose(found["centre 1 h ago"][known], targets[known], atol=1e-6)
    assert (found["tile centre"] == 15.5).all()
    for name in ("cold-cloud centroid", "coldest 60 km", "spiral gradient"):
        assert ((found[name] >= 0) & (found[name] <= 31)).all()
