import json
from typing import get_args

import numpy as np
import pytest
import xarray as xr

from medicane_models.choices import TrackFormat
from medicane_models.errors import ConfigurationError
from medicane_models.prediction.track_files.formats import FORMATS, save_tracks
from medicane_models.prediction.track_files.plain_csv import read_csv
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
