import json
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sample_tracks import path_of

from medicane_models.prediction.track_files.plain_csv import read_csv, write_csv
from medicane_models.prediction.track_files.trajectories import read_trajectories, write_netcdf
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


@pytest.fixture
def stored(tracks, tmp_path):
    """As the CF checker sees it."""
    told = PROVENANCE | {"warning": None, "created": "2020-09-18T00:00:00Z"}
    write_netcdf(tracks, tmp_path / "tracks.nc", told)
    with xr.open_dataset(tmp_path / "tracks.nc", decode_cf=False) as raw:
        yield raw


def test_the_file_says_what_it_is_and_when_it_was_written(stored):
    version = metadata.version("medicane-models")
    assert stored.attrs["title"]
    assert stored.attrs["history"] == f"2020-09-18T00:00:00Z written by medicane-models {version}"
    assert "warning" not in stored.attrs


def test_the_clock_counts_no_leap_seconds(stored):
    assert stored.time.attrs["units_metadata"] == "leap_seconds: none"


def test_every_variable_is_described_and_placed(stored):
    for name, variable in stored.variables.items():
        assert variable.attrs["long_name"], name
    for name in ("probability", "radius_50_km", "radius_95_km", "edge"):
        assert set(stored[name].attrs["coordinates"].split()) == {"time", "lat", "lon"}


def test_flags_are_told_in_the_type_they_have(stored):
    edge = stored.edge
    assert edge.dtype == edge.attrs["flag_values"].dtype == np.int8
    assert edge.attrs["flag_values"].tolist() == [0, 1]
    assert len(edge.attrs["flag_meanings"].split()) == 2


def test_trajectories_come_back_as_they_were(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc")
    back = as_tracks(read_trajectories(tmp_path / "tracks.nc"))
    pd.testing.assert_frame_equal(back, as_tracks(tracks), check_dtype=False)
