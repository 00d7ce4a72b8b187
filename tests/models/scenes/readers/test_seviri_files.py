"""HRIT segments and native files of SEVIRI, written by the tests and read by satpy."""

import numpy as np
import pytest

pytest.importorskip("satpy")

from seviri_files import OFFSET, SLOPE, counts_of, write_hrit, write_native

from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes import open_scene, scene_grid

TIME = "2020-09-06T00:30"


def kelvin(counts):
    """EUMETSAT, Conversion from effective radiances to equivalent brightness temperatures."""
    wavenumber, slope, offset = 931.122, 0.9983, 0.6256  # IR_108 of Meteosat-11
    radiance = SLOPE * counts + OFFSET
    planck = 1.43877 * wavenumber / np.log1p(1.19104e-5 * wavenumber**3 / radiance)
    return (planck - offset) / slope


@pytest.mark.parametrize("segments", [(8,), (7, 8), (3, 4, 5)])
def test_segments_lie_where_their_numbers_say(segments, tmp_path):
    write_hrit(tmp_path, TIME, segments)
    scene = open_scene(tmp_path, channels=["IR_108"])
    expected = np.tile(kelvin(counts_of(8, 64)), (len(segments), 1))[::-1, ::-1]  # from south-east
    np.testing.assert_allclose(scene["IR_108"][0], expected, atol=0.05)
    grid = scene_grid(scene)
    middle = (grid.y[0] + grid.y[-1]) / 2 / grid.y_step
    assert -middle == pytest.approx(8 * (np.mean(segments) - 4.5), abs=0.6)
    assert scene["time"].values == np.datetime64("2020-09-06T00:45")


def test_a_native_file_is_a_frame(tmp_path):
    scene = open_scene(write_native(tmp_path, TIME), channels=["IR_108"])
    np.testing.assert_allclose(scene["IR_108"][0], kelvin(counts_of(16, 24))[::-1, ::-1], atol=0.05)
    assert np.abs(scene["x"]).max() < 40_000
    assert (scene.attrs["platform"], scene.attrs["sub_satellite_longitude"]) == ("Meteosat-11", 0)
    assert scene["time"].values == np.datetime64("2020-09-06T00:45")


@pytest.mark.parametrize("part", ["PRO", "EPI"])
def test_slots_of_which_none_has_what_it_needs_are_refused(part, tmp_path):
    write_hrit(tmp_path, TIME)
    next(tmp_path.glob(f"*{part}*")).unlink()
    with (
        pytest.warns(SceneWarning, match="logue file and is missing"),
        pytest.raises(SceneError, match=r"none of 1 slots has its prologue and epilogue \(H-000"),
    ):
        open_scene(tmp_path)
