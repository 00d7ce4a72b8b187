"""Slots of AHI, ABI and FCI, written by the tests and read by satpy."""

import logging
import sys
import warnings
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from raw_files import (
    ABI_GRID,
    AHI_GRID,
    AHI_MICROMETRES,
    FCI_WIDTH,
    fci_rows,
    reader_configuration,
    write_abi,
    write_ahi,
    write_fci,
)

from medicane_models.errors import ConfigurationError, MissingExtraError, SceneError, SceneWarning
from medicane_models.scenes import open_scene, pixel_time, scene_grid
from medicane_models.scenes.instruments import IMAGERS
from medicane_models.scenes.opening import scene_sources
from medicane_models.scenes.readers.channels import DEFAULT_CHANNELS
from medicane_models.scenes.readers.satpy_files import canonical_bands

pytest.importorskip("satpy")

ROWS, COLUMNS = np.indices((50, 50))
KELVIN = 220 + ROWS + 0.1 * COLUMNS
NORTHERN = AHI_GRID.window(20, 5, 8, 10)  # segments 2 and 3


def open_quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        return open_scene(*arguments, **options)


def ten_minutes(folder: Path, *numbers: int, **options) -> None:
    for number in numbers:
        write_ahi(folder, f"2020-09-01 00:{number}0", KELVIN + number, **options)


def test_segments_become_the_frames_of_their_slots(tmp_path):
    ten_minutes(tmp_path, 0, 1)
    scene = open_quietly(tmp_path, channels=["IR_108"])
    assert scene["time"].dt.minute.values.tolist() == [10, 20]
    assert scene_grid(scene).offset_in(AHI_GRID) == (0, 0)
    seen = np.isfinite(scene["IR_108"].values)
    expected = np.stack([KELVIN, KELVIN + 1])
    np.testing.assert_allclose(scene["IR_108"].values[seen], expected[seen], atol=0.05)
    assert seen[:, 25, 5:45].all()
    assert not seen[:, 0, 0].any()  # space
    assert scene.attrs | {"source": ""} == {
        "platform": "Himawari-8",
        "sensor": "ahi",
        "calibration": "kelvin",
        "sub_satellite_longitude": 140.7,
        "time_convention": "end_of_scan",
        "source": "",
    }


def test_bands_of_a_slot_come_together_under_the_names_of_seviri(tmp_path):
    ten_minutes(tmp_path, 0, bands=tuple(AHI_MICROMETRES))
    scene = open_quietly(tmp_path, domain=NORTHERN).load()
    assert list(scene.data_vars) == list(DEFAULT_CHANNELS)
    for name in DEFAULT_CHANNELS:
        np.testing.assert_allclose(scene[name][0], KELVIN[5:15, 20:28], atol=0.4)


@pytest.mark.parametrize("name", ["IR_108", "B13", "ir_105"])
def test_a_channel_may_be_called_as_any_imager_does(tmp_path, name):
    ten_minutes(tmp_path, 0)
    assert list(open_quietly(tmp_path, channels=[name]).data_vars) == ["IR_108"]


def test_absent_channels_are_named(tmp_path):
    ten_minutes(tmp_path, 0)
    with pytest.raises(SceneError, match=r"no brightness temperature IR_097 .*there: IR_108"):
        open_quietly(tmp_path, channels=["IR_108", "IR_097"])


def test_nothing_is_read_before_a_frame_is_needed(tmp_path):
    ten_minutes(tmp_path, 0, 1)
    scene = open_quietly(tmp_path, channels=["IR_108"], domain=NORTHERN)
    for path in tmp_path.glob("*_0010_*"):
        path.unlink()
    assert scene["IR_108"][0].notnull().all()
    with pytest.warns(SceneWarning, match=r"00:20 UTC\) cannot be read"):
        assert scene["IR_108"][1].isnull().all()


def test_only_the_rows_that_some_segment_shows_are_there(tmp_path):
    ten_minutes(tmp_path, 0, segments=(3, 4))
    ten_minutes(tmp_path, 1, segments=(3, 4))
    scene = open_quietly(tmp_path, channels=["IR_108"])
    assert scene_grid(scene).offset_in(AHI_GRID) == (0, 10)
    assert scene.sizes["y"] == 10


def test_an_absent_segment_is_named_and_its_pixels_are_missing(tmp_path):
    ten_minutes(tmp_path, 0)
    ten_minutes(tmp_path, 1, segments=(1, 2, *range(4, 11)))
    with pytest.warns(SceneWarning, match="2020-09-01 00:10 UTC lacks B13-03; their pixels are"):
        scene = open_scene(tmp_path, channels=["IR_108"], domain=NORTHERN)
    missing = scene["IR_108"].isnull().all("x").values
    assert missing[1].tolist() == [False] * 5 + [True] * 5
    assert not missing[0].any()


def test_a_slot_that_lacks_a_band_is_missing(tmp_path):
    ten_minutes(tmp_path, 0, bands=("B12", "B13"))
    ten_minutes(tmp_path, 1, bands=("B13",))
    scene = open_quietly(tmp_path, channels=["IR_097", "IR_108"], domain=NORTHERN)
    with pytest.warns(SceneWarning, match=r"00:20 UTC\) cannot be read \(no files of B12"):
        assert scene["IR_108"].isnull().all(["y", "x"]).values.tolist() == [False, True]


def test_absent_slots_are_counted_and_placed(tmp_path):
    ten_minutes(tmp_path, 0, 1, 2, 5)
    match = "2 slots are missing, between 2020-09-01 00:20 and 2020-09-01 00:50 UTC"
    with pytest.warns(SceneWarning, match=match):
        assert open_scene(tmp_path, channels=["IR_108"]).sizes["time"] == 4


def test_of_a_slot_given_twice_the_first_is_kept(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        write_ahi(folder, "2020-09-01 00:00", KELVIN + 10 * number, segments=(2, 3))
    with pytest.warns(SceneWarning, match="2020-09-01 00:00 UTC is there twice: HS_H08.* is kept"):
        scene = open_scene(folders, channels=["IR_108"], domain=NORTHERN)
    np.testing.assert_allclose(scene["IR_108"][0], KELVIN[5:15, 20:28], atol=0.05)


def test_other_sectors_between_full_disks_are_left_out_by_name(tmp_path):
    ten_minutes(tmp_path, 0, 1)
    ten_minutes(tmp_path, 0, segments=(1,), area="R301")
    with pytest.warns(SceneWarning, match="sectors R301 are left out, FLDK is kept: HS_H08_.*R301"):
        assert open_scene(tmp_path, channels=["IR_108"]).sizes["time"] == 2


def test_two_satellites_are_refused_and_are_two_scenes(tmp_path):
    ten_minutes(tmp_path, 0, segments=(2,))
    ten_minutes(tmp_path, 1, segments=(2,), satellite="H09")
    with pytest.raises(SceneError, match=r"HS_H08.* and HS_H09.* different satellites"):
        open_scene(tmp_path)
    assert len(scene_sources([tmp_path])) == 2


def test_the_northernmost_row_of_a_himawari_is_seen_first(tmp_path):
    scan = ("2020-09-01 00:00:12", "2020-09-01 00:09:20")
    write_ahi(tmp_path, "2020-09-01 00:00", KELVIN, scan=scan)
    write_ahi(tmp_path, "2020-09-01 00:10", KELVIN, segments=(1, 2))
    with pytest.warns(SceneWarning, match="lacks B13-03, B13-04, B13-05 and 5 more"):
        scene = open_scene(tmp_path, channels=["IR_108"], domain=NORTHERN)
    start, end = (np.datetime64(time, "ns") for time in scan)
    apart = pixel_time(scene, 0, [0, 9]) - (start + (end - start) * np.array([5, 14]) // 49)
    assert (abs(apart) < np.timedelta64(1, "ms")).all()
    assert np.isnat(pixel_time(scene, 1, 0))  # not all of its segments tell when they were seen


def test_a_truncated_segment_makes_its_frame_missing(tmp_path):
    ten_minutes(tmp_path, 0, 1)
    path = next(tmp_path.glob("*_0010_*_S0210.DAT"))
    path.write_bytes(path.read_bytes()[:900])
    scene = open_quietly(tmp_path, channels=["IR_108"], domain=NORTHERN)
    with pytest.warns(SceneWarning, match=r"2020-09-01 00:20 UTC\) cannot be read"):
        assert scene["IR_108"].isnull().all(["y", "x"]).values.tolist() == [False, True]


RAMP = np.linspace(200, 300, 1200).reshape(30, 40)


def test_satpy_reads_abi_where_it_is_asked_to(tmp_path):
    write_abi(tmp_path, "2020-09-07 20:00:20", "2020-09-07 20:09:50", RAMP)
    write_abi(tmp_path, "2020-09-07 20:10:20", "2020-09-07 20:19:50", RAMP)
    scene = open_quietly(tmp_path, channels=["IR_108"], reader="abi_l1b")
    assert scene_grid(scene).offset_in(ABI_GRID) == (0, 0)
    np.testing.assert_allclose(scene["IR_108"][0], RAMP, atol=0.02)
    ends = np.array(["2020-09-07T20:09:50", "2020-09-07T20:19:50"], "datetime64[ns]")
    np.testing.assert_array_equal(scene["time"], ends)
    np.testing.assert_array_equal(scene["scan_time_south"], ends)
    np.testing.assert_array_equal(scene["scan_time_north"], ends - np.timedelta64(570, "s"))


def test_files_written_again_are_the_same_slot(tmp_path):
    when = ("2020-09-07 20:00:20", "2020-09-07 20:09:50")
    write_abi(tmp_path, *when, RAMP)
    write_abi(tmp_path, *when, RAMP, created="20202512200000")
    with pytest.warns(SceneWarning, match="20:00 UTC is there twice: .*100000.nc is kept"):
        assert open_scene(tmp_path, channels=["IR_108"], reader="abi_l1b").sizes["time"] == 1


def test_mesoscale_sectors_are_left_out_beside_full_disks(tmp_path):
    write_abi(tmp_path, "2020-09-07 20:00:20", "2020-09-07 20:09:50", RAMP)
    for minute in (1, 2, 3):
        begun, ended = (f"2020-09-07 20:0{minute}:{second}" for second in (20, 50))
        write_abi(tmp_path, begun, ended, RAMP, sector="M1")
    with pytest.warns(SceneWarning, match=r"sectors M1 are left out, F is kept: OR_.*RadM1"):
        assert open_scene(tmp_path, channels=["IR_108"], reader="abi_l1b").sizes["time"] == 1


def test_chunks_of_fci_lie_where_their_rows_are(tmp_path):
    for chunk, kelvin in ((39, 250.0), (40, 260.0)):
        write_fci(tmp_path, datetime(2024, 1, 14, 12), chunk, kelvin)
    grid = scene_grid(open_scene(tmp_path, channels=["IR_108"]))
    top = grid.window(2700, 0, 20, 300)
    scene = open_scene(tmp_path, channels=["IR_108"], domain=top).load()
    assert scene["time"].values[0] == np.datetime64("2024-01-14T12:10")
    column = scene["IR_108"].values[0, :, 0]
    edges = [FCI_WIDTH - fci_rows(chunk)[0] + 1 for chunk in (40, 39)]
    np.testing.assert_allclose(column[: edges[0]], 260, atol=0.01)
    np.testing.assert_allclose(column[edges[0] : edges[1]], 250, atol=0.01)
    assert np.isnan(column[edges[1] :]).all()
    assert grid.x_origin == pytest.approx(-(FCI_WIDTH - 1) / 2 * grid.x_step)
    assert np.isnat(scene["scan_time_north"]).all()  # 38 chunks are not there


WINDOW = {
    "ami_l1b": "IR105", "agri_fy4a_l1": "C12", "agri_fy4b_l1": "C13", "insat3d_img_l1b_h5": "TIR1",
    "goes-imager_nc": "10_7", "goes-imager_hrit": "10_7", "jami_hrit": "IR1",
    "mtsat2-imager_hrit": "IR1", "mviri_l1b_fiduceo_nc": "IR", "gms5-vissr_l1b": "IR1",
    "ghi_l1": "C07", "electrol_hrit": "10_7",
}  # fmt: skip


def thermal_bands(reader: str) -> dict[str, dict[str, SimpleNamespace]]:
    """Of satpy's configuration: names and central wavelengths beyond three micrometres."""
    told = reader_configuration(reader)["datasets"].values()
    lengths = {one["name"]: float(one["wavelength"][1]) for one in told if "wavelength" in one}
    return {
        name: {"wavelength": SimpleNamespace(central=length)}
        for name, length in lengths.items()
        if length > 3
    }


@pytest.mark.parametrize(("reader", "name"), [("abi_l1b", "C09"), ("ahi_hsd", "B09")])
def test_the_third_water_vapour_band_stands_for_none_of_seviri(reader, name):
    assert canonical_bands({name: thermal_bands(reader)[name]}) == {}


def test_the_window_alone_is_read_where_nothing_is_asked_for(tmp_path):
    ten_minutes(tmp_path, 0, bands=("B13",))
    assert list(open_quietly(tmp_path).data_vars) == ["IR_108"]


@pytest.mark.parametrize(("reader", "name"), WINDOW.items())
def test_the_infrared_window_of_an_imager_is_told_by_its_wavelength(reader, name):
    assert canonical_bands(thermal_bands(reader))["IR_108"] == name


@pytest.mark.parametrize(
    ("reader", "sensor"),
    [
        ("seviri_l1b_hrit", "seviri"),
        ("fci_l1c_nc", "fci"),
        ("abi_l1b", "abi"),
        ("abi_l2_nc", "abi"),
        ("ahi_hsd", "ahi"),
    ],
)
def test_wavelengths_tell_the_bands_that_names_do(reader, sensor):
    bands = canonical_bands(thermal_bands(reader))
    (imager,) = (one for one in IMAGERS if one.key == sensor)
    assert bands == {one.seviri: one.name for one in imager.channels if one.seviri}


def test_names_of_several_satellites_need_the_reader(tmp_path):
    (tmp_path / "IMG_DK01IR1_201001010000_001").touch()
    with pytest.raises(SceneError, match=r"name the reader, one of ahi_hrit, jami_hrit, mtsat2"):
        open_scene(tmp_path)


def test_files_of_different_readers_are_refused(tmp_path):
    ten_minutes(tmp_path, 0, segments=(2,))
    (tmp_path / "goes13.2010.338.001514.BAND_04.nc").touch()
    with pytest.raises(SceneError, match="files of different kinds"):
        open_scene(tmp_path)


def test_a_folder_without_files_of_the_reader_is_refused(tmp_path):
    ten_minutes(tmp_path, 0, segments=(2,))
    with pytest.raises(SceneError, match="form that satpy's abi_l1b reads"):
        open_scene(tmp_path, reader="abi_l1b")


def test_an_unknown_reader_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"ahi_hds is none of satpy's.*ahi_hsd"):
        open_scene(tmp_path, reader="ahi_hds")


class WithoutPyspectral:
    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "pyspectral":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_a_reader_without_its_package_names_it(tmp_path, monkeypatch, capfd):
    for name in [name for name in sys.modules if name.startswith(("satpy.readers.ami", "pyspec"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutPyspectral(), *sys.meta_path])
    (tmp_path / "gk2a_ami_le1b_ir105_fd020ge_201901310740.nc").touch()
    with pytest.raises(MissingExtraError, match=r"ami_l1b needs pyspectral.*: pip install pyspec"):
        open_scene(tmp_path)
    assert capfd.readouterr().err == ""
    assert logging.getLogger("satpy").propagate
