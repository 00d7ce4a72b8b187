import csv
import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sample_tracks import path_of

from medicane_models.choices import TrackFormat
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.track_files.formats import FORMATS, save_tracks
from medicane_models.prediction.track_files.plain_csv import read_csv
from medicane_models.prediction.track_files.reading import read_tracks_text
from medicane_models.prediction.tracks import TRACK_COLUMNS


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
    "observed": (
        pd.to_datetime([None, "2020-09-17T01:06"]),
        {"2020-09-17T01:06:00Z"},
    ),
    "model": (["", "other"], {"other"}),
    "detected": ([False, True], {"True", "1"}),
    "missing_frames": ([0, 3], {"3"}),
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
