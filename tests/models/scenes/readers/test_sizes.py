"""Files of a few kilobytes that ask for more memory than there is."""

import json

import netCDF4
import numpy as np
import pytest
import zarr
from scene_files import archive_dataset, cf_dataset, kelvin, shares, times, write_archive

from medicane_models.errors import SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene


def sparse(path, **sizes):
    """A netCDF file of which nothing is written but its coordinates' first values."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
            chunks = [min(size, 64)]
            file.createVariable(name, "f8", (name,), zlib=True, chunksizes=chunks)[:2] = [0, 1]
        chunks = [min(size, 64) for size in sizes.values()]
        variable = file.createVariable("IR_108", "f4", tuple(sizes), zlib=True, chunksizes=chunks)
        variable.units = "K"
    return path


@pytest.mark.parametrize(
    "sizes",
    [
        {"time": 10**9, "lat": 6, "lon": 8},
        {"time": 2, "lat": 10**9, "lon": 8},
        {"time": 2, "lat": 6, "lon": 10**9},
        {"time": 2, "lat": 100_000, "lon": 100_000},
    ],
)
def test_a_netcdf_file_larger_than_any_imager_is_refused_unread(sizes, tmp_path):
    path = sparse(tmp_path / "huge.nc", **sizes)
    assert path.stat().st_size < 10**6
    with pytest.raises(SceneError, match=r"huge\.nc has .* more than a frame of any imager"):
        open_scene(path)


def rewritten(path, name, axis, size):
    document = json.loads((path / name / ".zarray").read_text())
    document["shape"][axis] = size
    (path / name / ".zarray").write_text(json.dumps(document))
    (path / ".zmetadata").unlink()
    return path


@pytest.mark.parametrize(("name", "axis"), [("data", 0), ("data", 1), ("time", 0)])
def test_a_store_larger_than_any_imager_is_refused_unread(name, axis, tmp_path):
    path = write_archive(tmp_path / "huge.zarr", archive_dataset(shares(2), times("2020", 2)))
    with (
        pytest.raises(SceneError, match=r"huge\.zarr"),
        pytest.warns(match=r"huge\.zarr") if (name == "time") else np.errstate(),
    ):
        open_scene(rewritten(path, name, axis, 10**12))


def test_what_unfolds_in_a_zip_file_is_bounded(tmp_path, monkeypatch):
    from medicane_models.scenes.readers import stores

    path = write_archive(tmp_path / "a.zarr.zip", archive_dataset(shares(1), times("2020", 1)))
    monkeypatch.setattr(stores, "MOST_BYTES", 10)
    with pytest.raises(OSError, match="more than the 10 that are read"):
        zarr.open_group(stores.zarr_store(path), mode="r")


def test_a_file_of_no_time_is_refused_by_name(tmp_path):
    cf_dataset(kelvin(1), times("2020", 1)).isel(time=slice(0, 0)).to_netcdf(tmp_path / "empty.nc")
    with pytest.raises(SceneError, match=r"empty\.nc holds no frame"):
        open_scene(tmp_path / "empty.nc")


def test_a_file_whose_times_are_all_unknown_is_refused_by_name(tmp_path):
    dataset = cf_dataset(kelvin(1), times("2020", 1))
    dataset["time"] = ("time", np.array(["NaT"], "datetime64[ns]"))
    dataset["time"].encoding = {"units": "days since 2000-01-01", "dtype": "f8"}
    dataset.to_netcdf(tmp_path / "empty.nc")
    with (
        pytest.warns(SceneWarning, match="without a time"),
        pytest.raises(SceneError, match=r"empty\.nc holds no frame"),
    ):
        open_scene(tmp_path / "empty.nc")
