import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scene_files import (
    CHANNELS,
    GRID,
    archive_dataset,
    cf_dataset,
    kelvin,
    letterbox,
    shares,
    times,
    write_archive,
    write_png,
)

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError, SceneError, SceneWarning
from medicane_models.scenes.opening import (
    image_files,
    is_airmass,
    open_scene,
    scene_grid,
    scene_sources,
)
from medicane_models.scenes.readers import png


def scene_of(count: int = 3, **options: object) -> xr.Dataset:
    return open_scene(cf_dataset(kelvin(count), times("2020", count)), **options)


def test_the_normal_form():
    scene = scene_of()
    assert list(scene.data_vars) == CHANNELS
    assert scene["IR_108"].dims == ("time", "y", "x")
    assert scene["IR_108"].dtype == np.float32
    assert scene["IR_108"].chunks == ((1, 1, 1), (6,), (8,))
    assert scene["IR_108"].attrs == {
        "units": "K",
        "standard_name": "toa_brightness_temperature",
        "grid_mapping": "crs",
    }
    assert scene["crs"].attrs == GRID.cf_attributes()
    assert scene["time"].dtype == "datetime64[ns]"


def test_the_axes_run_east_and_south_in_metres():
    scene = scene_of()
    np.testing.assert_allclose(scene["x"], GRID.x)
    np.testing.assert_allclose(scene["y"], GRID.y)
    assert scene["y"].attrs["standard_name"] == "projection_y_coordinate"
    assert scene["x"].attrs["units"] == "m"


def test_opening_a_scene_again_changes_nothing():
    scene = scene_of()
    xr.testing.assert_equal(open_scene(scene).load(), scene.load())


def test_nothing_is_read_before_it_is_needed(tmp_path, monkeypatch):
    for minute in (0, 5, 10):
        write_png(tmp_path, f"2020-09-17 12:{minute:02}", letterbox(minute))
    reads = []
    pixels = png._pixels
    monkeypatch.setattr(
        png, "_pixels", lambda path, *rest: reads.append(path) or pixels(path, *rest)
    )
    scene = open_scene(tmp_path)
    assert reads == []
    scene.isel(time=1).load()
    assert [path.name for path in reads] == ["airmass_rgb_20200917_1205.png"]


def test_a_frame_is_read_once_for_all_channels(tmp_path, monkeypatch):
    path = write_archive(tmp_path / "a.zarr", archive_dataset(shares(2), times("2020", 2)))
    reads = []
    monkeypatch.setattr(
        "medicane_models.scenes.readers.frames.FrameReader._pixels",
        lambda reader, frame, window: reads.append(frame.time),
    )
    open_scene(path).load()
    assert sorted(reads) == list(times("2020", 2))


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        (None, None, [0, 5, 10, 15]),
        ("2020-01-01 00:05", "2020-01-01 00:10", [5, 10]),
        ("2020-01-01T01:05+01:00", None, [5, 10, 15]),
        (None, pd.Timestamp("2020-01-01 00:04"), [0]),
        (np.datetime64("2020-01-01T00:15"), None, [15]),
    ],
)
def test_the_time_range_is_inclusive_and_in_utc(start, end, minutes):
    assert scene_of(4, start=start, end=end)["time"].dt.minute.to_numpy().tolist() == minutes


def test_an_empty_time_range_tells_what_there_is():
    with pytest.raises(SceneError, match=r"has 3, from 2020-01-01 00:00:00 to 2020-01-01 00:10:00"):
        scene_of(3, start="2021")


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="'noon' is no time"):
        scene_of(3, start="noon")


def test_frames_are_sorted_by_time():
    dataset = cf_dataset(kelvin(3), times("2020", 3)).isel(time=[2, 0, 1])
    xr.testing.assert_equal(open_scene(dataset).load(), scene_of(3).load())


def test_frames_without_a_time_are_left_out():
    index = times("2020", 3).insert(1, pd.NaT)
    with pytest.warns(SceneWarning, match="without a time are missing: 1 of the dataset"):
        scene = open_scene(cf_dataset(kelvin(4), index))
    assert scene.sizes["time"] == 3


def test_a_part_of_the_grid_is_cropped():
    part = GRID.window(2, 1, 4, 3)
    scene = scene_of(1, domain=part)
    assert scene_grid(scene).offset_in(GRID) == (2, 1)
    np.testing.assert_array_equal(scene["WV_062"], kelvin(1)[:, 1:4, 2:6])


def test_a_larger_domain_is_missing_around_the_scene():
    scene = scene_of(1, domain=GRID.window(-2, -1, 12, 9))
    assert scene["WV_062"].shape == (1, 9, 12)
    np.testing.assert_array_equal(scene["WV_062"][:, 1:7, 2:10], kelvin(1))
    assert int(np.isfinite(scene["WV_062"]).sum()) == 48


@pytest.mark.parametrize(
    "domain",
    [
        GRID.window(100, 0, 4, 4),
        Grid.lonlat(west=0, south=0, east=1, north=1, step_degrees=0.5),
        Grid.lonlat(west=-170, south=0, east=-169, north=1, step_degrees=0.5),
    ],
)
def test_a_domain_elsewhere_is_refused_with_both_extents(domain):
    with pytest.raises(SceneError, match=r"the domain \(.*°N.*\) does not overlap .*\(8 × 6 px"):
        scene_of(1, domain=domain)


def test_a_domain_upside_down_is_refused():
    upside_down = Grid.from_dict(GRID.to_dict() | {"y_step": 3000.0})
    with pytest.raises(SceneError, match="rows southwards"):
        scene_of(1, domain=upside_down)


def test_unknown_input_is_refused_with_the_accepted_forms(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SceneError, match=r"(?s)notes\.txt holds no satellite input.*CF netCDF"):
        open_scene(tmp_path / "notes.txt")
    with pytest.raises(SceneError, match=r"airmass_rgb_YYYYMMDD_HHMM\.png"):
        open_scene(tmp_path)


def test_missing_paths_and_empty_lists_are_refused():
    with pytest.raises(SceneError, match=r"nowhere\.nc does not exist"):
        open_scene("nowhere.nc")
    with pytest.raises(SceneError, match="no input was given"):
        open_scene([])


def test_kinds_are_not_mixed(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    cf_dataset(kelvin(1), times("2020", 1)).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(SceneError, match="mixes PNG and netCDF"):
        open_scene(tmp_path)


def test_other_files_in_a_folder_are_no_matter(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    (tmp_path / "README.md").touch()
    assert open_scene(str(tmp_path)).sizes["time"] == 1


def test_the_source_holds_no_folders(tmp_path):
    write_png(tmp_path, "2020-09-17 12:05", letterbox())
    assert open_scene(tmp_path).attrs["source"] == "1 frame of airmass_rgb_20200917_1205.png"


def test_a_scene_without_a_grid_mapping_has_no_grid():
    with pytest.raises(SceneError, match="no grid_mapping"):
        scene_grid(scene_of(1).drop_attrs())


def test_importing_loads_neither_satpy_nor_torch():
    code = (
        "import sys, medicane_models.scenes.opening\n"
        "print({'satpy', 'torch', 'gcsfs'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_files_of_one_kind_are_a_scene_and_zarr_stores_one_each(tmp_path):
    names = [
        "H-000-MSG4__-MSG4________-IR_108___-000001___-202009060030-C_",
        "H-000-MSG4__-MSG4________-_________-PRO______-202009060030-__",
        "H-000-MSG3__-MSG3_RSS____-_________-PRO______-202009060030-__",
        "a.nc",
        "2020.zarr",
        "2021.zarr",
        "b.nc",
    ]
    for name in names:
        (tmp_path / name).mkdir() if name.endswith(".zarr") else (tmp_path / name).touch()
    memory = xr.Dataset()
    found = scene_sources([*(tmp_path / name for name in names), memory])
    assert found[-1] is memory
    assert [[path.name for path in group] for group in found[:-1]] == [
        names[:2], names[2:3], ["a.nc", "b.nc"], ["2020.zarr"], ["2021.zarr"],
    ]  # fmt: skip


def test_folders_stand_for_their_files(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nc").touch()
    (group,) = scene_sources([tmp_path / "one", tmp_path / "two"])
    assert list(group) == [tmp_path / "one" / "a.nc", tmp_path / "two" / "a.nc"]


def test_airmass_pictures_are_told_from_what_holds_temperatures(tmp_path):
    (tmp_path / "airmass_rgb_20111102_0655.png").touch()
    assert is_airmass([tmp_path])
    assert is_airmass([tmp_path / "airmass_rgb_20111102_0655.png"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scene.nc").touch()
    assert not is_airmass([tmp_path, tmp_path / "other"])
    assert not is_airmass([tmp_path / "other" / "scene.nc"])
    assert not is_airmass([tmp_path / "nowhere"])
    assert not is_airmass([])


def slots(*names: str) -> tuple[str, ...]:
    return tuple(f"H-000-MSG4__-MSG4________-{name}-__" for name in names)


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (("b.nc", "a.nc", ".c.nc", "d.nc.part"), [("a.nc",), ("b.nc",)]),
        (
            slots(
                "_________-PRO______-202309151200",
                "IR_108___-000001___-202309151200",
                "IR_108___-000001___-202309151215",
            ),
            [
                slots("IR_108___-000001___-202309151200", "_________-PRO______-202309151200"),
                slots("IR_108___-000001___-202309151215"),
            ],
        ),
        (
            ("a.png", "b.png", "georeference.yaml"),
            [("georeference.yaml", "a.png"), ("georeference.yaml", "b.png")],
        ),
    ],
)
def test_images_are_files_slots_and_pictures_with_what_places_them(tmp_path, names, images):
    for name in names:
        (tmp_path / name).touch()
    found = image_files(tmp_path).values()
    assert [tuple(path.name for path in files) for files in found] == images
