import pandas as pd
import pytest

from medicane_models.errors import SceneError
from medicane_models.prediction.track_files.plain_csv import read_csv, write_csv
from medicane_models.prediction.tracks import TRACK_COLUMNS, as_tracks


def test_csv_comes_back_to_the_fifth_decimal(tracks, tmp_path):
    write_csv(tracks, tmp_path / "tracks.csv")
    back = read_csv(tmp_path / "tracks.csv")
    expected = as_tracks(tracks).astype({"track_id": "str"})
    pd.testing.assert_frame_equal(back, expected, rtol=0, atol=0.5e-5)
    assert tuple(back.columns) == TRACK_COLUMNS
    assert list(back["track_id"]) == ["1", "1", "2", "2", "2"]


def test_csv_says_that_its_times_are_utc(tracks, tmp_path):
    write_csv(tracks, tmp_path / "tracks.csv")
    times = pd.read_csv(tmp_path / "tracks.csv")["time"]
    assert times.tolist()[0] == "2020-09-16T22:00:00Z"
    assert times.str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()


def test_a_failed_write_leaves_the_former_file(tracks, tmp_path, monkeypatch):
    path = tmp_path / "tracks.csv"
    write_csv(tracks, path)
    before = path.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_csv(tracks, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SceneError, match=r"absent\.csv"):
        read_csv(tmp_path / "absent.csv")
