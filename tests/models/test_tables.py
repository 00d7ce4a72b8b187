import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medicane_models import tables
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.detections import DETECTION_COLUMNS
from medicane_models.prediction.extrapolation import FORECAST_COLUMNS
from medicane_models.prediction.track_files.trajectories import to_ragged_dataset
from medicane_models.prediction.tracks import OPTIONAL_COLUMNS, TRACK_COLUMNS
from medicane_models.simulation import simulate_infrared, simulate_scene
from medicane_models.simulation.storms import COLUMNS as STORM_TABLE
from medicane_models.tables import COLUMNS, Column, read_table

PLAIN = "track_id,time,lat,lon\n001,2011-11-02,38.5,18.25\nNA,2011-11-03,39,19\n"


def written(tmp_path, text, *, encoding="utf-8"):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    return tmp_path / "t.csv"


def rows(table):
    return table[["track_id", "time", "lat", "lon"]].to_numpy().tolist()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("NA,2011-11-03,39,19", "NA,2011-11-03,39,19,,"),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t").replace(".", ","),
        "# made by hand\n\n" + PLAIN.replace("NA,", "# a pause\nNA,"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", " , "),
        PLAIN.replace("NA", '"NA"').replace("lat", '"lat"'),
        PLAIN + ",,,\n\n",
    ],
    ids=[
        *("plain", "trailing commas", "in one row", "semicolons and decimal commas"),
        *("semicolons and points", "tabs", "comments", "windows", "old mac", "spaces", "quotes"),
        "blank rows",
    ],
)
def test_what_spreadsheets_write_says_the_same(text, tmp_path):
    expected = [["001", "2011-11-02", 38.5, 18.25], ["NA", "2011-11-03", 39.0, 19.0]]
    assert rows(read_table(written(tmp_path, text))) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(encoding, tmp_path):
    assert rows(read_table(written(tmp_path, PLAIN, encoding=encoding)))[0][0] == "001"


def test_packed_tables_are_unpacked(tmp_path):
    (tmp_path / "t.csv").write_bytes(gzip.compress(PLAIN.encode()))
    assert len(read_table(tmp_path / "t.csv")) == 2


def test_columns_are_what_they_are(tmp_path):
    text = "tile_x,detected,edge,probability,model,else\n71,True,False,0.5,007,1\n0,0,,,,2\n"
    table = read_table(written(tmp_path, text))
    assert table["tile_x"].tolist() == [71, 0]
    assert table["detected"].tolist() == [True, False]
    assert table["detected"].dtype == bool
    assert table["edge"].tolist() == [False, pd.NA]
    assert np.isnan(table["probability"].iloc[1])
    assert table["model"].tolist() == ["007", ""]
    assert table["else"].tolist() == ["1", "2"]


def test_a_count_is_there_in_all_rows_or_in_none(tmp_path):
    table = read_table(written(tmp_path, "tile_x,tile_lon\n,9.5\n,10\n"))
    assert table["tile_x"].isna().all()
    with pytest.raises(SceneError, match=r"line 3 has tile_x ''; give tile_x as a whole number"):
        read_table(written(tmp_path, "tile_x,tile_lon\n71,9.5\n,10\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("39,19", "39,19,7"), "line 3 has 5 fields, the header 4"),
        (PLAIN.replace("39,19", "39,19.5 E"), r"line 3 has lon '19.5 E'; give lon as a number"),
        ("# a\n" + PLAIN.replace("38.5", "38,5"), "line 3 has 5 fields"),
        (PLAIN.replace("lat", "lon"), "two columns are called lon"),
        ("tile_x\n1\n1.5\n", "line 3 has tile_x '1.5'; give tile_x as a whole number"),
        ("tile_x,a\n1,2\n,3\n", "line 3 has tile_x ''"),
        ("detected\nmaybe\n", "line 2 has detected 'maybe'; give detected as True or False"),
        ("", "holds no line"),
        ("# only this\n", "holds no line"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(text, message, tmp_path):
    with pytest.raises(SceneError, match=message):
        read_table(written(tmp_path, text))


def test_what_is_no_text_is_refused_with_one_sentence(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(SceneError, match=r"t\.csv.*no text in UTF-8"):
        read_table(tmp_path / "t.csv")


def test_every_column_that_is_written_is_described():
    tracked = {*TRACK_COLUMNS, *OPTIONAL_COLUMNS, *FORECAST_COLUMNS}
    written_columns = {*DETECTION_COLUMNS, *tracked, *STORM_TABLE, "end", "part"}
    assert written_columns <= set(COLUMNS)


@pytest.mark.parametrize("simulate", [simulate_infrared, simulate_scene])
def test_every_column_of_a_simulated_truth_is_described(simulate):
    _, truth = simulate(hours=2, seed=0)
    assert set(truth.columns) <= set(COLUMNS)


def test_the_page_on_results_describes_every_column_and_no_other():
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
    table = page.partition("| column | units | what |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [
        f"| `{name}` | {column.units or column.kind} | {column.meaning} |"
        for name, column in COLUMNS.items()
    ]


def test_netcdf_says_what_the_columns_mean():
    track = {"track_id": [1], "time": ["2011-11-02"], "lon": [18.5], "lat": [38.0]}
    dataset = to_ragged_dataset(pd.DataFrame(track))
    for name in TRACK_COLUMNS:
        assert dataset[name].attrs["long_name"] == COLUMNS[name].meaning
        assert dataset[name].attrs.get("units", "") == COLUMNS[name].units


def test_only_numbers_have_units():
    assert all(column.meaning for column in COLUMNS.values())
    assert {name for name in COLUMNS if name.endswith("_km")} == {
        name for name, column in COLUMNS.items() if column.units == "km"
    }
    with pytest.raises(ConfigurationError, match="no units"):
        Column(kind="text", meaning="a name", units="km")


@pytest.mark.parametrize("value", ["inf", "-inf", "1e400", "[" * 5000])
def test_what_is_no_finite_number_is_refused_in_one_sentence(value, tmp_path):
    with pytest.raises(SceneError, match=r"t\.csv: line 2 has lat") as told:
        read_table(written(tmp_path, f"track_id,time,lat,lon\na,2011-11-02,{value},18\n"))
    assert len(str(told.value)) < 300


def test_what_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_BYTES", 100)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(PLAIN.encode() * 100))
    with pytest.raises(SceneError, match=r"t\.csv\.gz .* unpacks to more than 100 bytes"):
        read_table(tmp_path / "t.csv.gz")
