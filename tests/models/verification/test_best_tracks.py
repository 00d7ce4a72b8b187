import gzip

import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.errors import SceneError
from medicane_models.verification.best_tracks import SIX_HOURLY, positions_at, read_tracks

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
        (HURDAT2.replace("15.0S", "?"), r"valid lat \(line 5; first '\?'"),
        (COMPOSITE.replace("12 17 15", "13 17 15"), r"valid time \(line 3; first '2020-13-17T15'"),
        (IBTRACS.replace("15.25", "  "), r"valid lat \(line 4"),
        ("\x00\xff", "which storm"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, text, message):
    with pytest.raises(SceneError, match=message):
        read_tracks(written(tmp_path, text))


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SceneError, match=r"cannot read .*absent\.csv"):
        read_tracks(tmp_path / "absent.csv")
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
