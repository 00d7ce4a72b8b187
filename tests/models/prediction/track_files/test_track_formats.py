import csv
import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sample_tracks import path_of

from medicane_models.choices import TrackFormat
from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.linking import link_detections
from medicane_models.prediction.track_files.formats import FORMATS, save_tracks
from medicane_models.prediction.track_files.plain_csv import read_csv
from medicane_models.prediction.track_files.reading import read_tracks_text
from medicane_models.prediction.track_files.trajectories import read_trajectories
from medicane_models.prediction.tracks import TRACK_COLUMNS, as_tracks


def test_huracanpy_reads_csv_and_netcdf_alike(tracks, tmp_path):
    huracanpy = pytest.importorskip("huracanpy")
    paths = save_tracks(tracks, tmp_path, ["csv", "netcdf"])
    from_csv, from_netcdf = (huracanpy.load(str(paths[name])) for name in ("csv", "netcdf"))
    for loaded in (from_csv, from_netcdf):
        assert loaded.track_id.data.tolist() == [1, 1, 2, 2, 2]
        assert loaded.lon.data == pytest.approx([5.0, 5.1, 18.0, 18.5, 19.12346], abs=1e-5)
        assert loaded.time.data[0] == np.datetime64("2020-09-16T22:00")


@pytest.mark.parametrize("form", ["csv", "netcdf"])
def test_huracanpy_opens_a_day_without_a_cyclone(form, nothing, tmp_path):
    huracanpy = pytest.importorskip("huracanpy")
    loaded = huracanpy.load(str(save_tracks(nothing, tmp_path, [form])[form]))
    assert not np.isfinite(loaded.lon.data.astype(float)).any()
    assert set(TRACK_COLUMNS) <= set(loaded.variables)


def test_no_track_at_all_can_be_written_and_read(nothing, tmp_path):
    paths = save_tracks(nothing, tmp_path)
    assert read_csv(paths["csv"]).empty
    assert json.loads(paths["geojson"].read_text())["features"] == []
    with xr.open_dataset(paths["netcdf"]) as data:
        assert dict(data.sizes) == {"obs": 0, "trajectory": 0}
        assert np.issubdtype(data.time.dtype, np.datetime64)


def test_what_is_unknown_is_named(tracks, tmp_path):
    with pytest.raises(ConfigurationError, match=r"kml.*csv, netcdf, geojson"):
        save_tracks(tracks, tmp_path, ["kml"])


def test_the_command_line_offers_every_format():
    assert tuple(FORMATS) == get_args(TrackFormat)


MORE = {  # a column of each kind, and how text says its second value
    "center_x": ([np.nan, 1.5], {"1.5", "1.50000"}),
    "newest_frame": (
        pd.to_datetime([None, "2020-09-17T01:06"]),
        {"2020-09-17T01:06:00Z"},
    ),
    "model": (["", "other"], {"other"}),
    "detected": ([False, True], {"True", "1"}),
    "tile_x": ([0, 3], {"3"}),
}


@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize("form", FORMATS)
def test_a_column_that_tracks_gain_is_in_every_format(form, name, tmp_path, monkeypatch):
    columns = (*TRACK_COLUMNS, name)
    monkeypatch.setattr("medicane_models.prediction.tracks.TRACK_COLUMNS", columns)
    values, told = MORE[name]
    table = path_of(1, [5.0, 6.0], [40.0, 40.0]).assign(**{name: values})
    path = save_tracks(table, tmp_path, [form])[form]
    assert last_row(path, form)[name].strip() in told


def last_row(path, form):
    text = read_tracks_text(path)
    if form != "atcf":
        return list(csv.DictReader(text.splitlines()))[-1]
    fields = [field.strip() for field in text.splitlines()[-1].split(",")]
    return dict(zip(fields[35::2], fields[36::2], strict=True))


def linked_tracks():
    """Two tracks, one of which parts from the other, with every column that linking gives."""
    hours = pd.to_timedelta(np.arange(12), "h")
    steady = pd.DataFrame({"time": pd.Timestamp("2020-09-17") + hours, "lon": 15.0, "lat": 38.0})
    parting = steady.iloc[4:].assign(lon=18.5 + 0.2 * np.arange(8), probability=0.8)
    table = pd.concat([steady.assign(probability=0.9), parting])
    table = table.assign(radius_50_km=15.0, radius_95_km=31.2, missing_frames=1)
    table = table.assign(observed=table["time"], parallax_east_km=3.0, parallax_north_km=np.nan)
    return link_detections(table, grid=MEDITERRANEAN)


@pytest.mark.parametrize(("form", "read"), [("csv", read_csv), ("netcdf", read_trajectories)])
def test_what_linking_tells_of_tracks_comes_back(form, read, tmp_path):
    tracks = linked_tracks()
    assert set(tracks["split_from"]) == {"", "1"}
    tracks.loc[tracks["track_id"] == 2, ["onset", "decay"]] = pd.NaT
    back = as_tracks(read(save_tracks(tracks, tmp_path, [form])[form]))
    back["track_id"] = back["track_id"].astype(int)
    pd.testing.assert_frame_equal(back, tracks, rtol=0, atol=1e-5, check_dtype=False)


def test_times_may_all_be_unknown(tmp_path):
    unknown = linked_tracks().assign(onset=pd.NaT, decay=pd.NaT)
    for path in save_tracks(unknown, tmp_path).values():
        assert path.stat().st_size
    assert as_tracks(read_trajectories(tmp_path / "tracks.nc"))["onset"].isna().all()
