import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scene_files import CHANNELS, kelvin

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import MissingExtraError, SceneError, SceneWarning
from medicane_models.scenes import pixel_time
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_models.scenes.readers import satpy_files

FOLDER = "seviri_hrit_20200906"


@pytest.fixture(scope="module")
def hrit(shared_data: Path) -> Path:
    pytest.importorskip("satpy")
    return shared_data / FOLDER


def copied(hrit: Path, folder: Path) -> Path:
    for path in hrit.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def replaced(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.unlink()
    path.write_bytes(content)


def test_slots_lie_on_the_rows_of_their_segments(hrit):
    scene = open_scene(hrit)
    assert scene.sizes == {"time": 2, "y": 928, "x": 3712}
    assert scene["time"].values.tolist() == [
        np.datetime64("2020-09-06T00:45", "ns").astype(int),
        np.datetime64("2020-09-06T01:00", "ns").astype(int),
    ]
    assert scene.attrs["platform"] == "Meteosat-11"
    assert scene.attrs["sub_satellite_longitude"] == 0
    assert scene.attrs["time_convention"] == "end_of_scan"


def test_the_service_of_every_15_minutes_opens_with_one_channel(hrit):
    scene = open_scene(hrit, channels=["IR_108"])
    assert list(scene.data_vars) == ["IR_108"]
    assert np.diff(scene["time"]) == np.timedelta64(15, "m")


def test_rows_are_seen_when_the_files_say_that_their_lines_were(hrit):
    from satpy.scene import Scene

    files = [str(path) for path in hrit.iterdir() if "0045-__" in path.name]
    reference = Scene(reader="seviri_l1b_hrit", filenames=files)
    reference.load(["IR_108"])
    lines = reference["IR_108"]["acq_time"].dropna("y")
    scene = open_scene(hrit, channels=["IR_108"])
    rows = np.rint((lines["y"].values - scene_grid(scene).y_origin) / scene_grid(scene).y_step)
    apart = pixel_time(scene, 1, rows) - lines.values
    inside = (rows >= 0) & (rows < scene.sizes["y"])
    assert inside.sum() > 800
    assert abs(apart[inside]).max() < np.timedelta64(4, "s")


def test_cropped_pixels_are_those_of_satpy(hrit):
    from satpy.scene import Scene

    files = [str(path) for path in hrit.iterdir() if "0030-__" in path.name]
    reference = Scene(reader="seviri_l1b_hrit", filenames=files)
    reference.load(["IR_108"])
    domain = scene_grid(open_scene(hrit)).window(1800, 300, 60, 40)
    part = reference["IR_108"].sel(x=domain.x, y=domain.y, method="nearest")
    scene = open_scene(hrit, domain=domain, channels=["IR_108"], end="2020-09-06 00:45")
    np.testing.assert_array_equal(scene["IR_108"][0], part)


def test_the_mediterranean_grid_is_what_pyresample_makes(hrit):
    from pyresample.geometry import AreaDefinition
    from satpy.scene import Scene

    grid = MEDITERRANEAN.window(700, 0, 590, 200)
    scene = open_scene(hrit, domain=grid, channels=["IR_108", "WV_062"], end="2020-09-06 00:45")
    half_x, half_y = grid.x_step / 2, grid.y_step / 2
    extent = (grid.x[0] - half_x, grid.y[-1] + half_y, grid.x[-1] + half_x, grid.y[0] - half_y)
    area = AreaDefinition("", "", "", grid.crs, grid.width, grid.height, extent)
    files = [str(path) for path in hrit.iterdir() if "0030-__" in path.name]
    reference = Scene(reader="seviri_l1b_hrit", filenames=files)
    reference.load(["IR_108", "WV_062"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # pyresample about itself
        reference = reference.resample(area, resampler="gradient_search", method="bilinear")
    for name in ("IR_108", "WV_062"):
        np.testing.assert_allclose(scene[name][0], reference[name], atol=2e-4)


def test_coasts_lie_where_the_land_is_colder_at_night(hrit):
    from scipy.ndimage import gaussian_filter

    from medicane_models.maps.coastlines import land_mask

    def detail(values: np.ndarray) -> np.ndarray:
        return values - gaussian_filter(values, 8)

    scene = open_scene(hrit, domain=MEDITERRANEAN, channels=["IR_108"], end="2020-09-06 00:45")
    warmth = detail(scene["IR_108"].values[0])
    warmth = np.where(abs(warmth) < 6, warmth, 0)[8:-8, 8:-8]
    land = land_mask(MEDITERRANEAN).astype(float)
    moves = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    match = [
        np.corrcoef(detail(np.roll(land, move, (0, 1)))[8:-8, 8:-8].ravel(), warmth.ravel())[0, 1]
        for move in moves
    ]
    assert moves[int(np.argmin(match))] == (0, 0)


def test_a_truncated_segment_makes_its_frame_missing(hrit, tmp_path):
    folder = copied(hrit, tmp_path)
    name = "H-000-MSG4__-MSG4________-IR_108___-000008___-202009060045-__"
    replaced(folder, name, (hrit / name).read_bytes()[:100_000])
    scene = open_scene(folder, domain=MEDITERRANEAN.window(600, 0, 20, 20))
    with pytest.warns(SceneWarning, match=r"\(2020-09-06 01:00 UTC\) cannot be read"):
        missing = scene["WV_062"].isnull().all(["y", "x"]).values
    assert missing.tolist() == [False, True]


def test_a_slot_without_prologue_is_left_out(hrit, tmp_path):
    folder = copied(hrit, tmp_path)
    (folder / "H-000-MSG4__-MSG4________-_________-PRO______-202009060030-__").unlink()
    with pytest.warns(SceneWarning, match="2020-09-06 00:30 UTC .* has no prologue"):
        scene = open_scene(folder)
    assert scene["time"].dt.hour.values.tolist() == [1]


def test_a_slot_that_lacks_a_channel_is_missing(hrit, tmp_path):
    folder = copied(hrit, tmp_path)
    for path in folder.glob("*IR_097*0030-__"):
        path.unlink()
    scene = open_scene(folder, domain=MEDITERRANEAN.window(600, 0, 20, 20))
    with pytest.warns(SceneWarning, match=r"00:45 UTC\) cannot be read \(no files of IR_097"):
        assert scene["WV_062"].isel(time=0).isnull().all()


def test_an_absent_segment_is_named(hrit, tmp_path):
    folder = copied(hrit, tmp_path)
    next(folder.glob("*WV_062*-000008*0030-__")).unlink()
    with pytest.warns(SceneWarning, match=r"2020-09-06 00:30 UTC lacks WV_062___-000008"):
        open_scene(folder)


def test_absent_channels_are_named(hrit):
    with pytest.raises(SceneError, match=r"IR_120 .*there: IR_097, IR_108, WV_062, WV_073"):
        open_scene(hrit, channels=["IR_120"])


def test_no_readable_slot_is_an_error(hrit, tmp_path):
    for path in hrit.glob("*0030-__"):
        (tmp_path / path.name).touch()
    with (
        pytest.warns(SceneWarning, match="202009060030"),
        pytest.raises(SceneError, match="none of 1 slots can be read"),
    ):
        open_scene(tmp_path)


def test_services_are_not_mixed(hrit, tmp_path):
    folder = copied(hrit, tmp_path)
    (folder / "H-000-MSG2__-MSG2_RSS____-IR_108___-000008___-202009060050-__").touch()
    with pytest.raises(SceneError, match="different satellites or services"):
        open_scene(folder)


def test_compressed_segments_need_another_package(hrit, tmp_path, monkeypatch):
    monkeypatch.setattr(satpy_files, "find_spec", lambda name: None)
    (tmp_path / "H-000-MSG4__-MSG4________-IR_108___-000008___-202009060030-C_").touch()
    with pytest.raises(SceneError, match="pip install pyPublicDecompWT"):
        open_scene(tmp_path)


def test_without_satpy_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "satpy", None)
    (tmp_path / "MSG4-SEVI-MSG15-0100-NA-20200906004243.254000000Z-NA.nat").touch()
    with pytest.raises(MissingExtraError, match=r"medicane-models\[satellite\]"):
        open_scene(tmp_path)


def test_memory_stays_small(hrit):
    code = (
        "import sys; from medicane_models.domain import MEDITERRANEAN\n"
        "from medicane_models.scenes.opening import open_scene\n"
        "open_scene(sys.argv[1], domain=MEDITERRANEAN).load()\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(hrit)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 800_000  # KiB


def test_native_files_are_placed_by_their_names(tmp_path, monkeypatch):
    grid = Grid.full_disk(9.5).window(1800, 600, 8, 6)
    values = xr.DataArray(
        da.from_array(kelvin(1, grid=grid)[0, ::-1, ::-1]),
        dims=("y", "x"),
        coords={"y": grid.y[::-1], "x": grid.x[::-1]},
        attrs={
            "area": SimpleNamespace(crs=grid.projection),
            "platform_name": "Meteosat-11",
            "sensor": "seviri",
            "units": "K",
            "time_parameters": {
                "nominal_start_time": datetime(2023, 12, 20, 11, 30),
                "nominal_end_time": datetime(2023, 12, 20, 11, 35),
            },
        },
    )
    scene = FakeScene(dict.fromkeys(map(data_id, CHANNELS, (6.25, 7.35, 9.66, 10.8)), values))
    monkeypatch.setattr(satpy_files, "_satpy_scene", lambda slot: scene)
    for stamp in ("20231220113916.2", "20231220113416.138"):
        (tmp_path / f"MSG4-SEVI-MSG15-0100-NA-{stamp}000000Z-NA.nat").touch()
    opened = open_scene(tmp_path)
    assert opened["time"].dt.minute.to_numpy().tolist() == [35, 40]
    np.testing.assert_array_equal(opened["IR_108"][1], kelvin(1, grid=grid)[0])


def data_id(name: str, micrometres: float):
    from satpy.dataset.dataid import DataID, default_id_keys_config

    told = {"name": name, "wavelength": (micrometres - 1, micrometres, micrometres + 1)}
    told |= {"resolution": 3000, "calibration": "brightness_temperature"}
    return DataID(default_id_keys_config, **told)


class FakeScene(dict):
    """As much of a satpy Scene as the reader asks for."""

    sensor_names = frozenset({"seviri"})

    def available_dataset_ids(self) -> list[object]:
        return list(self)

    def load(self, *args: object, **options: object) -> None:
        pass
