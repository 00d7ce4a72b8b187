import numpy as np
import pytest
from scene_files import letterbox, write_png

from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid


def full_frame(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (420, 1290, 3), np.uint8)


def test_full_frames_lie_on_the_mediterranean_grid(tmp_path):
    pixels = full_frame()
    path = write_png(tmp_path, "2020-09-17 12:05", pixels)
    scene = open_scene(path)
    assert scene_grid(scene).offset_in(MEDITERRANEAN) == (0, 0)
    assert scene["airmass"].dims == ("time", "y", "x", "rgb")
    assert scene["rgb"].values.tolist() == ["R", "G", "B"]
    assert scene["time"].values == np.datetime64("2020-09-17T12:05")
    np.testing.assert_array_equal(np.rint(scene["airmass"][0] * 255), pixels)


def test_letterbox_pixels_cover_the_same_area(tmp_path):
    scene = open_scene(write_png(tmp_path, "2020-09-17 12:05", letterbox()))
    assert scene.sizes == {"time": 1, "y": 125, "x": 384, "rgb": 3}
    np.testing.assert_array_equal(np.rint(scene["airmass"][0] * 255), letterbox()[129:254])
    grid, whole = scene_grid(scene), MEDITERRANEAN
    assert grid.extent == pytest.approx(whole.extent, abs=1e-6)
    middle = np.array(grid.pixel_to_lonlat(191.5, 62))
    np.testing.assert_allclose(middle, whole.pixel_to_lonlat(644.5, 209.5), atol=1e-9)


def test_letterboxes_are_enlarged_onto_the_domain(tmp_path):
    path = write_png(tmp_path, "2020-09-17 12:05", letterbox())
    with pytest.warns(SceneWarning, match=r"pixels are 3\.4 times as large"):
        scene = open_scene(path, domain=MEDITERRANEAN)
    airmass = scene["airmass"].values[0]
    assert airmass.shape == (420, 1290, 3)
    assert np.isfinite(airmass).all()
    # Pixel 644.5, 209.5 is the centre of letterbox pixel 191.5, 62, the mean of two.
    around = airmass[209:211, 644:646].mean(axis=(0, 1))
    assert around == pytest.approx(letterbox()[129 + 62, 191:193].mean(axis=0) / 255, abs=0.1)


def test_other_sizes_are_refused_by_name(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", np.zeros((224, 224, 3), np.uint8))
    with pytest.raises(SceneError, match=r"airmass_rgb_20200917_1205\.png has 224 × 224"):
        open_scene(tmp_path)


def test_both_sizes_together_are_refused(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    write_png(tmp_path, "2020-09-17 12:10", full_frame())
    with pytest.raises(SceneError, match="open them separately"):
        open_scene(tmp_path)


def test_squares_that_are_no_letterbox_are_missing_and_named_when_read(tmp_path):
    pixels = np.full((384, 384, 3), 7, np.uint8)
    scene = open_scene(write_png(tmp_path, "2020-09-17 12:05", pixels))
    with pytest.warns(SceneWarning, match=r"airmass_rgb_20200917_1205\.png .*no letterbox"):
        assert scene["airmass"].isnull().all()


def test_black_frames_are_missing(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    write_png(tmp_path, "2020-09-17 12:10", np.zeros((384, 384, 3), np.uint8))
    scene = open_scene(tmp_path)
    with pytest.warns(SceneWarning, match=r"_1210\.png \(2020-09-17 12:10 UTC\) is black"):
        missing = scene["airmass"].isnull().all(["y", "x", "rgb"]).values
    assert missing.tolist() == [False, True]


def test_truncated_frames_are_missing(tmp_path):
    path = write_png(tmp_path, "2020-09-17 12:05", letterbox())
    path.write_bytes(path.read_bytes()[:5000])
    scene = open_scene(path)
    with pytest.warns(SceneWarning, match=r"_1205\.png \(2020-09-17 12:05 UTC\) cannot be read"):
        assert scene["airmass"].isnull().all()


def test_empty_files_are_left_out(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    (tmp_path / "airmass_rgb_20200917_1210.png").touch()
    with pytest.warns(SceneWarning, match=r"_1210\.png \(2020-09-17 12:10 UTC\) cannot be read"):
        assert open_scene(tmp_path).sizes["time"] == 1


def test_impossible_times_are_refused(tmp_path):
    path = write_png(tmp_path, "2020-09-17 12:05", letterbox())
    wrong = path.rename(tmp_path / "airmass_rgb_20201317_1205.png")
    with pytest.raises(SceneError, match="does not tell its time"):
        open_scene(wrong)


def test_single_channels_are_refused(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    with pytest.raises(SceneError, match="has no IR_108; an Airmass PNG holds only airmass"):
        open_scene(tmp_path, channels=["IR_108"])


def test_the_sensor_is_that_of_the_research_system(tmp_path):
    scene = open_scene(write_png(tmp_path, "2020-09-17 12:05", letterbox()))
    assert scene.attrs["sub_satellite_longitude"] == 9.5
    assert scene.attrs["sensor"] == "seviri"


def test_real_frames(shared_data):
    scene = open_scene(shared_data / "airmass_png_20111102")
    assert scene.sizes == {"time": 38, "y": 125, "x": 384, "rgb": 3}
    assert np.unique(np.diff(scene["time"].values)) == np.timedelta64(5, "m")
    frame = scene["airmass"].isel(time=-1).values
    assert frame.min() >= 0
    assert frame.max() <= 1
    # FACTS §3: the means of the research data are .299 .368 .221.
    assert frame.mean(axis=(0, 1)) == pytest.approx((0.299, 0.368, 0.221), abs=0.2)
