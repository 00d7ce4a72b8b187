import json

import pandas as pd
import pytest
import xarray as xr
from sample_tracks import path_of

from medicane_models.prediction.track_files.plain_csv import read_csv, write_csv
from medicane_models.prediction.track_files.trajectories import write_netcdf
from medicane_models.prediction.tracks import as_tracks

PROVENANCE = {"model": "tiny", "seed": 3, "scenes": ["a.zarr", "b.zarr"], "trained": True}


def test_names_of_tracks_stay_as_they_are(tracks, tmp_path):
    write_csv(tracks.replace({"track_id": {1: "001", 2: "NA"}}), tmp_path / "tracks.csv")
    write_netcdf(read_csv(tmp_path / "tracks.csv"), tmp_path / "tracks.nc")
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.track_id.data.tolist() == ["001", "NA"]
        assert data.row_size.data.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([1, 2], [1, 2]),
        ([1.0, 2.0], ["1", "2"]),
        ([1, "a"], ["1", "a"]),
        (["v2.0", 1], ["1", "v2.0"]),
    ],
)
def test_names_are_whole_numbers_or_text(given, names, tmp_path):
    parts = [path_of(name, [5.0, 6.0], [40.0, 40.0]) for name in given]
    tracks = as_tracks(pd.concat(parts))
    assert tracks["track_id"].unique().tolist() == names
    write_netcdf(tracks, tmp_path / "tracks.nc")
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.track_id.data.tolist() == names


def test_netcdf_is_a_contiguous_ragged_array_of_trajectories(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc", provenance=PROVENANCE)
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.attrs["Conventions"] == "CF-1.11"
        assert data.attrs["featureType"] == "trajectory"
        assert data.track_id.attrs["cf_role"] == "trajectory_id"
        assert data.row_size.attrs["sample_dimension"] == data.lon.dims[0]
        assert data.row_size.data.tolist() == [2, 3]
        assert {"time", "lon", "lat"} <= set(data.probability.coords)


def test_netcdf_variables_have_standard_names_units_and_no_gaps(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc")
    with xr.open_dataset(tmp_path / "tracks.nc", decode_cf=False) as raw:
        assert [raw[v].attrs["standard_name"] for v in ("time", "lat", "lon")] == [
            "time",
            "latitude",
            "longitude",
        ]
        assert raw.lat.attrs["units"] == "degrees_north"
        assert raw.time.attrs["units"] == "seconds since 1970-01-01"
        assert raw.radius_50_km.attrs["units"] == "km"
        assert not any("_FillValue" in raw[v].attrs for v in ("time", "lon", "lat", "track_id"))
        assert raw.time.data[0] == pd.Timestamp("2020-09-16T22:00").timestamp()


def test_provenance_becomes_global_attributes(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc", provenance=PROVENANCE)
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.attrs["model"] == "tiny"
        assert data.attrs["seed"] == 3
        assert json.loads(data.attrs["scenes"]) == ["a.zarr", "b.zarr"]
        assert json.loads(data.attrs["trained"]) is True
