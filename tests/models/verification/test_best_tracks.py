import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.errors import SceneError
from medicane_models.verification.agencies import DATE_COLUMNS
from medicane_models.verification.best_tracks import (
    SIX_HOURLY,
    STORM_COLUMNS,
    positions_at,
    read_tracks,
)

SPHERE = pyproj.Geod(a=6371008.8, f=0)

HURDAT2 = """\
AL092011,              IRENE,      2,
20110821, 0000,  , TS, 15.0N,  59.0W,  45, 1006,  105,    0,    0,   45,    0,    0,    0,    0
20110827, 1200, L, HU, 34.7N,  76.6W,  75, -999,  225,  225,  150,  125,  125,  125,   80,   60
AL272020,            UNNAMED,      1,
20201115, 0000,  , LO, 15.0S, 179.5E, -99, 1008, -999, -999, -999, -999, -999, -999, -999, -999
"""

IBTRACS = """\
SID,SEASON,BASIN,NAME,ISO_TIME,LAT,LON,WMO_WIND,WMO_PRES,TRACK_TYPE,USA_WIND,USA_PRES
 ,Year, , , ,degrees_north,degrees_east,kts,mb, ,kts,mb
2011233N15301,2011,NA,IRENE,2011-08-21 00:00:00,15.00,-59.00,45,1006,main,50,1005
2011233N15301,2011,NA,IRENE,2011-08-21 03:00:00,15.25,-59.70, , ,main,46, 
2011900N15301,2011,NA,NOT_NAMED,2011-08-20 00:00:00,14.00,-58.00, , ,spur-other, , 
2020001S15180,2020,SP,NOT_NAMED,2020-01-01 00:00:00,-15.00,181.50, , ,PROVISIONAL, , 
"""  # noqa: W291 (unknown values are blanks in these files)

COMPOSITE = """\
00000001 0011.500 0024.730 1979 02 16 13 01000.98
00000001 0011.937 0024.964 1979 02 16 14 01000.04
00000206 -005.230 0032.786 2020 12 17 15 01017.96
"""

PLAIN = """\
track_id,time,lon,lat
b,2020-09-17T01:00,18.5,37.5
a,2020-09-17T01:00:00Z,5,40
a,2020-09-17 02:00+02:00,4,40
"""


ATCF = """\
AL, 09, 2011082100,   , BEST,   0, 150N,  590W,  45, 1006, TS,  34, NEQ,  105,    0,    0,   45, 1010, 300, 20, 0, 0, L, 0, , 0, 0, INVEST, M
AL, 09, 2011082100,   , BEST,   0, 150N,  590W,  45, 1006, TS,  50, NEQ,   45,    0,    0,   45, 1010, 300, 20, 0, 0, L, 0, , 0, 0, INVEST, M
AL, 09, 2011082712, 30, BEST,   0, 347N,  766W,  75,    0, HU,  34, NEQ,  225,    0,    0,   45, 1010, 300, 20, 0, 0, L, 0, , 0, 0,  IRENE, D
"""  # noqa: E501

A_DECK = """\
AL, 09, 2011082100, 01, CARQ, -12, 148N,  580W,  40,    0
AL, 09, 2011082100, 01, CARQ,   0, 150N,  590W,  45,    0
AL, 09, 2011082100, 03, OFCL,   0, 151N,  590W,  45,    0
AL, 09, 2011082100, 03, OFCL,  12, 155N,  610W,  50,    0
AL, 09, 2011082100, 03, AVNO,   0,   0N,    0W,   0,    0
"""

TEMPEST = """\
track_id, year, month, day, hour, i, j, lon, lat, slp
0, 1980, 1, 6, 6, 482, 417, 359.500000, -14.250000, 9.987638e+04
0, 1980.0, 1.0, 6.0, 12.0, 476, 419, 0.250000, -14.750000, 9.981100e+04
"""


def written(tmp_path, text, name="tracks.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_hurdat2_signs_degrees_and_knows_missing_values(tmp_path):
    tracks = read_tracks(written(tmp_path, HURDAT2, "hurdat2.txt"))
    expected = [
        ("AL092011", pd.Timestamp("2011-08-21"), -59.0, 15.0, "IRENE", 1006, 45),
        ("AL092011", pd.Timestamp("2011-08-27T12"), -76.6, 34.7, "IRENE", np.nan, 75),
        ("AL272020", pd.Timestamp("2020-11-15"), 179.5, -15.0, "", 1008, np.nan),
    ]
    columns = ["track_id", "time", "lon", "lat", "name", "pressure_hpa", "wind_kt"]
    expected = pd.DataFrame(expected, columns=columns)
    pd.testing.assert_frame_equal(tracks, expected, check_dtype=False)


def test_ibtracs_skips_units_and_spurs_and_prefers_the_responsible_centre(tmp_path):
    tracks = read_tracks(written(tmp_path, IBTRACS))
    assert tracks["track_id"].tolist() == ["2011233N15301", "2011233N15301", "2020001S15180"]
    assert tracks["name"].tolist() == ["IRENE", "IRENE", ""]
    assert tracks["wind_kt"].tolist()[:2] == [45, 46]
    assert tracks["pressure_hpa"].fillna(0).tolist() == [1006, 0, 0]
    assert tracks["lon"].tolist() == [-59, -59.7, -178.5]


def test_ibtracs_without_its_line_of_units_keeps_its_first_position(tmp_path):
    saved_again = IBTRACS.replace(IBTRACS.splitlines()[1] + "\n", "")
    whole, bare = (read_tracks(written(tmp_path, text)) for text in (IBTRACS, saved_again))
    pd.testing.assert_frame_equal(whole, bare)


def test_ibtracs_may_have_gone_through_a_spreadsheet(tmp_path):
    saved_again = "".join(f"{n};{line}\n" for n, line in enumerate(IBTRACS.splitlines()))
    saved_again = saved_again.replace("0;SID", ";SID").replace(",", ";").replace(".00;", ",00;")
    pd.testing.assert_frame_equal(
        read_tracks(written(tmp_path, saved_again)), read_tracks(written(tmp_path, IBTRACS))
    )


@pytest.mark.parametrize(
    "kind", ["spur-merge", "SPUR", "PROVISIONAL_spur", "US-PROVISIONAL_spur", "US-PROVISIONAL"]
)
def test_a_second_opinion_is_no_second_place(kind, tmp_path):
    row = f"2011233N15301,2011,NA,IRENE,2011-08-21 00:00:00,15.90,-59.00, , ,{kind}, , \n"
    pd.testing.assert_frame_equal(
        read_tracks(written(tmp_path, IBTRACS + row)), read_tracks(written(tmp_path, IBTRACS))
    )


def test_provisional_positions_stand_where_there_is_no_other(tmp_path):
    tracks = read_tracks(written(tmp_path, IBTRACS.replace(",main,", ",US-PROVISIONAL,")))
    assert len(tracks) == 3


def test_b_decks_of_atcf_are_best_tracks(tmp_path):
    tracks = read_tracks(written(tmp_path, ATCF, "bal092011.dat"))
    expected = [
        ("AL092011", pd.Timestamp("2011-08-21"), -59.0, 15.0, "IRENE", 1006, 45),
        ("AL092011", pd.Timestamp("2011-08-27T12:30"), -76.6, 34.7, "IRENE", np.nan, 75),
    ]
    columns = ["track_id", "time", "lon", "lat", "name", "pressure_hpa", "wind_kt"]
    expected = pd.DataFrame(expected, columns=columns)
    pd.testing.assert_frame_equal(tracks, expected, check_dtype=False)


def test_a_season_that_began_last_year_is_told_by_the_name_of_the_deck(tmp_path):
    deck = ATCF.replace("AL, 09", "SH, 03").replace("N,", "S,")
    storms = [read_tracks(written(tmp_path, deck, name)) for name in ("bsh032012.dat", "deck.txt")]
    assert [storm["track_id"].unique().tolist() for storm in storms] == [["SH032012"], ["SH032011"]]
    assert storms[0]["lat"].tolist() == [-15.0, -34.7]


def test_a_decks_give_the_operational_position_and_no_forecast(tmp_path):
    tracks = read_tracks(written(tmp_path, A_DECK))
    assert tracks[["lon", "lat"]].to_numpy().tolist() == [[-59.0, 15.0]]
    only = read_tracks(written(tmp_path, A_DECK.replace("CARQ", "OFCL").replace("151N", "150N")))
    assert len(only) == 1


def test_years_months_days_and_hours_are_a_time(tmp_path):
    tracks = read_tracks(written(tmp_path, TEMPEST))
    assert tracks["time"].tolist() == [
        pd.Timestamp("1980-01-06T06"),
        pd.Timestamp("1980-01-06T12"),
    ]
    assert tracks["lon"].tolist() == [-0.5, 0.25]


def test_names_of_storms_are_text(tmp_path):
    text = PLAIN.replace("b,", "NA,").replace("a,", "001,")
    assert read_tracks(written(tmp_path, text))["track_id"].unique().tolist() == ["001", "NA"]


def test_longitudes_of_both_kinds_meet_in_one_track(tmp_path):
    head = "track_id,time,lon,lat\n"
    rows = [f"a,2020-09-17T0{n},{lon},-15\n" for n, lon in enumerate(["179.9", "180.1", "-179.7"])]
    twice = "a,2020-09-17T01,-179.9,-15\n"
    tracks = read_tracks(written(tmp_path, head + "".join(rows) + twice))
    assert tracks["lon"].tolist() == pytest.approx([179.9, -179.9, -179.7])


def test_tracks_lie_in_several_files_or_in_a_folder(tmp_path):
    (tmp_path / "decks").mkdir()
    one = written(tmp_path, ATCF, "decks/bal092011.dat")
    other = written(tmp_path, PLAIN, "decks/plain.csv")
    tracks = read_tracks([one, other])
    assert tracks["track_id"].unique().tolist() == ["AL092011", "a", "b"]
    assert tracks["name"].unique().tolist() == ["IRENE", ""]
    pd.testing.assert_frame_equal(tracks, read_tracks(tmp_path / "decks"))


def test_files_that_contradict_each_other_are_named(tmp_path):
    other = written(tmp_path, PLAIN.replace("18.5", "18.6"), "other.csv")
    with pytest.raises(SceneError, match=r"b is in two places .*tracks\.csv, .*other\.csv"):
        read_tracks([written(tmp_path, PLAIN), other])


def test_ids_of_composite_tracks_carry_their_file(tmp_path):
    tracks = read_tracks(written(tmp_path, COMPOSITE, "TRACKS_CL7.dat.gz"))
    assert tracks["track_id"].tolist() == ["CL7-1", "CL7-1", "CL7-206"]
    assert tracks["time"].tolist()[1:] == [
        pd.Timestamp("1979-02-16T14"),
        pd.Timestamp("2020-12-17T15"),
    ]
    assert tracks["pressure_hpa"].tolist() == [1000.98, 1000.04, 1017.96]
    assert tracks["lon"].tolist()[2] == -5.23


def test_plain_tables_are_sorted_and_in_utc(tmp_path):
    tracks = read_tracks(written(tmp_path, PLAIN))
    assert list(tracks.columns) == ["track_id", "time", "lon", "lat"]
    assert tracks["track_id"].tolist() == ["a", "a", "b"]
    assert tracks["time"].dtype == "datetime64[ns]"
    assert tracks["time"].tolist()[:2] == [
        pd.Timestamp("2020-09-17"),
        pd.Timestamp("2020-09-17T01"),
    ]


def test_a_window_is_read_where_there_is_one(tmp_path):
    head = "id_cyc_unico,time,lat,lon,start_time,end_time,name\n"
    rows = "7001.0,2020-01-01,40,10,2019-12-31 23:50:00,2020-01-02,\n8,2020-01-01,40,20,,,Helios\n"
    tracks = read_tracks(written(tmp_path, head + rows))
    assert tracks["track_id"].tolist() == ["7001", "8"]
    assert tracks["name"].tolist() == ["", "Helios"]
    assert tracks["window_start"].tolist() == [pd.Timestamp("2019-12-31T23:50"), pd.NaT]
    assert tracks["window_end"].dtype == "datetime64[ns]"


@pytest.mark.parametrize(
    ("name", "identity", "storms", "rows"),
    [
        ("medicanes_new_windows.csv", "id_final", 18, 946),
        ("more_medicanes_time_updated.csv", "id_final", 19, 2103),
        ("era5_medicanes.csv", "name", 6, 891),
    ],
)
def test_real_tables_keep_every_row(shared_data, name, identity, storms, rows):
    tracks = read_tracks(shared_data / "tracks" / name)
    raw = pd.read_csv(shared_data / "tracks" / name)
    assert (tracks["track_id"].nunique(), len(tracks), len(raw)) == (storms, rows, rows)
    assert set(tracks["track_id"]) == set(raw[identity].astype(str))
    assert sorted(tracks["lat"]) == sorted(raw["lat"])
    assert sorted(tracks["window_start"].dropna()) == sorted(
        pd.to_datetime(raw["start_time"]).dropna()
    )


def test_real_composite_tracks_keep_every_row(shared_data):
    path = shared_data / "tracks" / "TRACKS_CL10.dat.gz"
    raw = np.loadtxt(path)
    tracks = read_tracks(path)
    assert tracks["track_id"].nunique() == 206
    assert np.allclose(np.sort(tracks["pressure_hpa"]), np.sort(raw[:, 7]))
    assert (tracks.groupby("track_id")["time"].diff().dropna() == pd.Timedelta(hours=1)).all()


@pytest.mark.parametrize("name", ["new_cyc_limits.csv", "medicane_validi.csv"])
def test_tables_without_positions_are_refused(shared_data, name):
    with pytest.raises(SceneError, match=r"no column time, lat, lon|which storm a row belongs to"):
        read_tracks(shared_data / "tracks" / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("18.5", "east"), r"1 rows have no valid lon \(line 2; first 'east'\)"),
        (PLAIN.replace("4,40", "4,400"), r"valid lat \(line 4"),
        (PLAIN.replace("a,2020-09-17T01:00:00Z", "a,noon"), r"valid time \(line 3; first 'noon'"),
        (PLAIN.replace("\nb,", "\n\n,"), r"valid track_id \(line 3"),
        (PLAIN + "b,2020-09-17T01:00,19,37.5\n", r"b is in two places .* \(line 5\)"),
        (PLAIN.replace("track_id", "who"), "which storm a row belongs to"),
        (PLAIN.replace("lon", "longitude"), "no column lon"),
        (PLAIN + "a,b,c,d,e\n", "as CSV"),
        (HURDAT2 + "20201115, 0600\n", "line 6 is no HURDAT2 row"),
        (HURDAT2.partition("\n")[0], "holds no position of a storm"),
        (HURDAT2.replace("34.7N", "34.7"), r"valid lat \(line 3; first '34.7'\); .*N or S"),
        (HURDAT2.replace("76.6W", "76.6"), r"valid lon \(line 3; first '76.6'\); .*E or W"),
        (HURDAT2.replace("76.6W", "76.6N"), r"valid lon \(line 3"),
        (ATCF.replace("766W", "766"), r"valid lon \(line 3"),
        (ATCF + "AL, 09, 2011\n", "line 4 is no ATCF row"),
        (ATCF.replace("2011082712", "2011083712"), r"valid time \(line 3"),
        (A_DECK.replace("CARQ", "HWRF"), "positions of HWRF, OFCL and none of BEST or CARQ"),
        (A_DECK.replace(",   0,", ",  24,"), "no position of a storm, forecasts aside"),
        (TEMPEST.replace("1.0, 6.0", "13.0, 6.0"), r"valid time \(line 3; first '1980-13-06T12'"),
        ("start 2 1980 1 6 6\n 482 417 120.5 -14.25 1980 1 6 6\n", "--out_file_format csv"),
        (COMPOSITE + "00000206 -005.230\n", "line 4 is no composite track row"),
        (
            PLAIN.replace("lat\n", "lat,wind_kt\n").replace("37.5", "37.5,strong"),
            "line 2 has wind_kt",
        ),
        (PLAIN.replace("2020-09-17T01:00,18", "17/09/2020 01:00,18"), r"valid time .*ISO 8601"),
        (HURDAT2.replace("15.0S", "?"), r"valid lat \(line 5; first '\?'"),
        (COMPOSITE.replace("12 17 15", "13 17 15"), r"valid time \(line 3; first '2020-13-17T15'"),
        (IBTRACS.replace("15.25", "  "), r"valid lat \(line 4"),
        ("\x00\xff", "which storm"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, text, message):
    with pytest.raises(SceneError, match=message):
        read_tracks(written(tmp_path, text))


@pytest.mark.parametrize("name", ["track_id", "time", "lon", "lat"])
def test_a_table_without_a_column_is_told_the_names_that_are_known(tmp_path, name):
    known = (
        r"; name its columns track_id \(or storm, id_final, id_cyc_unico, name\), "
        r"time \(or year, month, day, hour\), lat and lon$"
    )
    with pytest.raises(SceneError, match=known):
        read_tracks(written(tmp_path, PLAIN.replace(name, "other", 1)))


def test_the_page_on_evaluating_tells_every_name_that_is_known():
    page = (Path(__file__).parents[3] / "docs" / "evaluating.md").read_text("utf-8")
    names = [*STORM_COLUMNS, *DATE_COLUMNS, "time", "lat", "lon", "organisation", "wind_kt"]
    assert all(f"`{name}`" in page for name in [*names, "pressure_hpa"])


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SceneError, match=r"cannot read .*absent\.csv"):
        read_tracks(tmp_path / "absent.csv")
    with pytest.raises(SceneError, match="holds no file"):
        read_tracks(tmp_path)
    (tmp_path / "torn.gz").write_bytes(gzip.compress(PLAIN.encode())[:-9])
    with pytest.raises(SceneError, match=r"cannot read .*torn\.gz"):
        read_tracks(tmp_path / "torn.gz")


def track(hours, lon, lat, track_id="a"):
    times = pd.Timestamp("2020-09-17") + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame({"track_id": track_id, "time": times, "lon": lon, "lat": lat})


@pytest.mark.parametrize(
    ("start", "end"),
    [((5.0, 40.0), (6.0, 40.5)), ((179.0, 10.0), (-179.5, 12.0)), ((3, 3), (3, 3))],
)
def test_between_positions_the_way_is_a_great_circle(start, end):
    tracks = track([0, 1], [start[0], end[0]], [start[1], end[1]])
    times = pd.date_range("2020-09-17", periods=13, freq="5min")
    found = positions_at(tracks, times)
    way = SPHERE.inv_intermediate(
        *start, *end, npts=13, initial_idx=0, terminus_idx=0, return_back_azimuth=True
    )
    off = SPHERE.inv(found["lon"], found["lat"], way.lons, way.lats)[2]
    assert found["time"].tolist() == times.tolist()
    assert np.abs(off).max() < 1e-3  # metres


def test_known_positions_come_back_to_the_last_digit(shared_data):
    tracks = read_tracks(shared_data / "tracks" / "medicanes_new_windows.csv")
    found = positions_at(tracks, tracks["time"].to_numpy())
    merged = found.sort_values(["track_id", "time"], ignore_index=True)
    columns = ["track_id", "time", "lon", "lat"]
    pd.testing.assert_frame_equal(merged[columns], tracks[columns])


def test_nothing_is_said_before_after_or_across_a_gap():
    tracks = track([0, 1, 4, 6], [5.0, 6, 9, 11], 40.0)
    hours = [-0.5, 0, 1, 1.5, 3.9, 4, 5, 6, 6.1]
    times = pd.Timestamp("2020-09-17") + pd.to_timedelta(hours, unit="h")
    found = positions_at(tracks, times)
    assert ((found["time"] - times[1]) / pd.Timedelta("1h")).tolist() == [0, 1, 4, 5, 6]
    assert len(positions_at(tracks, times, max_gap_hours=SIX_HOURLY)) == 7
    assert len(positions_at(tracks, times, max_gap_hours=1.9)) == 4


def test_several_storms_at_once_are_told_apart():
    tracks = pd.concat([track([0, 1], [5.0, 6], 40.0, "b"), track([1, 2], [20.0, 21], 35.0, "a")])
    noon = pd.DatetimeIndex(["2020-09-17T01:00", "2020-09-17T00:30", "2020-09-17T01:00"])
    found = positions_at(tracks, noon)
    assert found["track_id"].tolist() == ["b", "a", "b"]
    assert found["lon"].tolist()[1:] == [20, 6]
    assert positions_at(tracks, noon[:0]).empty
    assert positions_at(tracks.iloc[:0], noon).empty
