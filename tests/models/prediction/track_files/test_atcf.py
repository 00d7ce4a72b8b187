import numpy as np
import pandas as pd
import pytest
from sample_tracks import path_of

from medicane_models.prediction.extrapolation import extrapolated
from medicane_models.prediction.track_files.atcf import deck_lines, write_atcf
from medicane_models.prediction.track_files.storm_ids import number_storms
from medicane_models.prediction.tracks import as_tracks
from medicane_models.verification.best_tracks import read_tracks

NHC = (  # of bal022026.dat as the National Hurricane Center wrote it
    "AL, 02, 2026072112,   , BEST,   0, 288N,  862W,  50,  996, TS,  34, NEQ,   40,   80,   80,    "
    "0, 1010,  100,  40,  60,   0,   L,   0,    ,   0,   0,     BERTHA, M, 12, NEQ,    0,   60,    "
    "0,    0, genesis-num, 004, "
)


def lines(tracks, path):
    write_atcf(tracks, path / "tracks.dat")
    return [line.split(",") for line in (path / "tracks.dat").read_text().splitlines()]


def test_common_fields_stand_in_the_columns_of_an_agency(tracks, tmp_path):
    theirs = [len(field) for field in NHC.split(",")[:35]]
    for ours in lines(tracks, tmp_path):
        assert [len(field) for field in ours[:35]] == theirs


def test_a_line_says_storm_time_technique_and_tenths_of_degrees(tmp_path):
    track = path_of("AL092011", [-59.04, 0.04], [15.04, -0.26], "2011-08-21T05:30")
    heads = [[field.strip() for field in line[:12]] for line in lines(track, tmp_path)]
    storm, rest = ["AL", "09"], ["0", "0", "XX", "0"]
    assert heads == [
        [*storm, "2011082105", "30", "MEDI", "0", "150N", "590W", *rest],
        [*storm, "2011082106", "30", "MEDI", "0", "3S", "0E", *rest],
    ]


def test_other_columns_follow_in_pairs_where_they_are_known(tmp_path):
    first, second = (line[35:] for line in lines(path_of("a, b", [5, 6], [40, 40]), tmp_path))
    assert ",".join(first) == " track_id, a; b, probability, 0.5, edge, True"
    assert ",".join(second[4:]) == " radius_50_km, 40.0, radius_95_km, 90.0, edge, False"


def test_motion_has_fields_of_its_own(tmp_path):
    motion = {"heading": [359.7, np.nan, 90.4], "speed_kt": [3.2, np.nan, 11.6]}
    track = path_of(1, [5, 6, 7], [40, 40, 40]).assign(**motion)
    told = [line[25:27] for line in lines(track, tmp_path)]
    assert told == [["   0", "   3"], ["    ", "    "], ["  90", "  12"]]


def test_what_is_ahead_is_counted_from_what_was_seen(tracks):
    tracks = as_tracks(tracks)
    ahead = tracks.assign(time=tracks["time"] + pd.Timedelta(hours=12))
    seen, forecast = (
        [field.strip() for field in deck_lines(table, number_storms(tracks), tau=tau)[0].split(",")]
        for table, tau in ((tracks, 0), (ahead, 12))
    )
    assert forecast[2:8] == [*seen[2:4], "MEDF", "12", *seen[6:8]]


@pytest.mark.parametrize("name", ["tracks.dat", "aal012020.dat"])
def test_a_deck_comes_back_to_the_tenth_of_a_degree(name, tracks, tmp_path):
    tracks["time"] += pd.Timedelta(minutes=25)
    write_atcf(tracks, tmp_path / name)
    back, expected = read_tracks(tmp_path / name), as_tracks(tracks)
    expected["track_id"] = expected["track_id"].astype("str")
    pd.testing.assert_frame_equal(back[expected.columns], expected, rtol=0, atol=0.0501)
    pd.testing.assert_frame_equal(
        back[["time", "radius_50_km"]], expected[["time", "radius_50_km"]]
    )


def test_what_is_ahead_is_no_position_of_the_storm(tracks, tmp_path):
    tracks = as_tracks(tracks)
    text = deck_lines(tracks, number_storms(tracks))
    text += deck_lines(tracks, number_storms(tracks), tau=6)
    (tmp_path / "tracks.dat").write_text("\n".join(text))
    assert len(read_tracks(tmp_path / "tracks.dat")) == len(tracks)


def test_forecasts_follow_the_fixes_that_they_start_from(tmp_path):
    tracks = as_tracks(path_of("AL092011", [5, 6, 7], [40, 40, 40]).assign(radius_95_km=90.0))
    forecasts = extrapolated(tracks)
    write_atcf(tracks, tmp_path / "tracks.dat", forecasts)
    deck = [line.split(", ") for line in (tmp_path / "tracks.dat").read_text().splitlines()]
    assert [(line[4], int(line[5])) for line in deck] == [
        ("MEDI", 0),
        *[("MEDI", 0), ("MEDF", 6), ("MEDF", 12)] * 2,
    ]
    ahead = [line for line in deck if line[4] == "MEDF"]
    issued = [f"{time:%Y%m%d%H}" for time in forecasts["issued"]]
    assert [line[2] for line in ahead] == issued
    assert [float(line[7].strip("E")) / 10 for line in ahead] == pytest.approx(
        forecasts["lon"], abs=0.0501
    )
    assert len(read_tracks(tmp_path / "tracks.dat")) == 3
