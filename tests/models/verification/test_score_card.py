import json
import re
import sys
from html.parser import HTMLParser

import pytest
from northward_tracks import DAY, STORMS, track, write

from medicane_models.cli import main
from medicane_models.verification.evaluation import evaluate
from medicane_models.verification.evaluation_files import EVALUATION_FILES
from medicane_models.verification.report import markdown_report
from medicane_models.verification.score_card import score_card_page


@pytest.fixture
def files(tmp_path):
    truth = write(track("<a>|b", *STORMS["b"]), tmp_path / "truth.csv")
    return write(track("<1>", *STORMS["a"]), tmp_path / "tracks.csv"), truth


@pytest.fixture
def report(files):
    return evaluate(*files, settings=DAY)


def test_every_storm_and_every_false_track_has_its_line(report):
    class Rows(HTMLParser):
        found = ()

        def handle_data(self, data):
            self.found = (*self.found, data)

    rows = Rows()
    rows.feed(score_card_page(report))
    assert rows.found.count("<a>|b") == 2  # in the table and in the figure
    assert rows.found.count("<1>") == 1
    assert "2020-09-17 06:00" in rows.found


def test_a_score_card_asks_nobody_for_anything(report):
    page = score_card_page(report)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|src=|href=|url\((?!#)", page)
    assert page == score_card_page(report)


def test_markdown_tables_have_as_many_cells_in_each_row(report):
    tables = re.findall(r"(?:^\|.*\|$\n?)+", markdown_report(report), re.MULTILINE)
    assert len(tables) >= 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.split("\n") if row}) == 1


def test_the_command_writes_its_files_and_leaves_earlier_ones(files, tmp_path, monkeypatch, capsys):
    out = tmp_path / "scores"
    line = ["medicane", "evaluate", *map(str, files), "--out", str(out), "--json"]
    monkeypatch.setattr(sys, "argv", [*line, "--start", "2020-09-17", "--end", "2020-09-18"])
    for code in (0, 2):
        with pytest.raises(SystemExit) as stop:
            main()
        assert (stop.value.code or 0) == code
    printed = capsys.readouterr()
    assert sorted(path.name for path in out.iterdir()) == sorted(EVALUATION_FILES)
    assert json.loads((out / "scores.json").read_text()) == json.loads(printed.out)
    assert "--overwrite" in printed.err
