"""Files that are one recording: of one satellite, on the union of where they lie."""

import numpy as np
import pytest
from imager_files import GOES_EAST
from scene_files import GRID, cf_dataset, kelvin, times

from medicane_models.domain import Grid
from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid


def test_files_of_different_satellites_are_refused(tmp_path):
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(tmp_path / "a.nc")
    cf_dataset(kelvin(1), times("2021", 1), grid=GOES_EAST).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(SceneError, match=r"a\.nc and b\.nc have different"):
        open_scene(tmp_path)


def storm_files(folder, count: int = 3, step: int = 1) -> np.ndarray:
    """Windows of one field that move eastwards, a file each; the field itself."""
    whole = kelvin(1, GRID.window(0, 0, 8 + step * count, 6))
    for hour in range(count):
        left = step * hour
        window = GRID.window(left, 0, 8, 6)
        values = whole[..., left : left + 8]
        dataset = cf_dataset(values, times(f"2020-01-01T0{hour}", 1), grid=window)
        dataset.to_netcdf(folder / f"storm{hour}.nc")
    return whole[0]


def test_frames_that_follow_a_storm_lie_on_their_union(tmp_path):
    whole = storm_files(tmp_path)
    scene = open_scene(tmp_path).load()
    assert scene_grid(scene).offset_in(GRID) == (0, 0)
    assert scene["WV_062"].shape == (3, 6, 10)
    for hour in range(3):
        np.testing.assert_array_equal(
            scene["WV_062"][hour, :, hour : hour + 8], whole[:, hour : hour + 8]
        )
        assert int(scene["WV_062"][hour].isnull().sum()) == 12


def test_frames_that_follow_a_storm_are_cut_to_the_chosen_times(tmp_path):
    storm_files(tmp_path)
    scene = open_scene(tmp_path, start="2020-01-01T01:00")
    assert scene_grid(scene).offset_in(GRID) == (1, 0)
    assert scene.sizes["x"] == 9


def test_frames_that_leave_the_domain_are_named(tmp_path):
    whole = storm_files(tmp_path, step=5)
    scene = open_scene(tmp_path, domain=GRID.window(0, 0, 4, 6))
    np.testing.assert_array_equal(scene["WV_062"][0], whole[:, :4])
    with pytest.warns(SceneWarning, match=r"storm1\.nc .* lies outside the domain; the frame is"):
        assert scene["WV_062"][1].isnull().all()


@pytest.mark.parametrize(("left", "start"), [(100, None), (0, "2020-01-01T02:00")])
def test_a_domain_that_no_moving_frame_shows_is_refused(tmp_path, left, start):
    storm_files(tmp_path, step=5)
    with pytest.raises(SceneError, match="does not overlap"):
        open_scene(tmp_path, domain=GRID.window(left, 0, 4, 4), start=start)


def test_frames_too_far_apart_for_memory_name_the_remedy(tmp_path, monkeypatch):
    storm_files(tmp_path)
    monkeypatch.setattr("medicane_models.scenes.readers.recording.MOST_UNION_PIXELS", 50)
    with pytest.raises(SceneError, match=r"storm0\.nc .* storm2\.nc .* 10 × 6 pixels.*--domain"):
        open_scene(tmp_path)


def test_a_turn_between_longitudes_makes_no_other_satellite(tmp_path):
    for year, longitude in ((2020, -137), (2021, 223)):
        grid = Grid.from_dict(
            GOES_EAST.to_dict() | {"crs": GOES_EAST.crs.replace("-75", str(longitude))}
        )
        names = ["C08", "C10", "C12", "C13"]
        dataset = cf_dataset(kelvin(1), times(str(year), 1), grid=grid, names=names)
        dataset.assign_attrs(sub_satellite_longitude=longitude).to_netcdf(tmp_path / f"{year}.nc")
    scene = open_scene(tmp_path)
    assert scene.sizes["time"] == 2
    assert scene.attrs["sub_satellite_longitude"] == -137
