"""What is printed on a terminal, and what of it where the output goes elsewhere."""

import re
import sys

from medicane_models.commands import print_rows, with_progress


def show_on_a_terminal(monkeypatch):
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")


ROWS = [("short", "one"), ("a longer label", "word " * 30)]


def test_rows_are_wrapped_in_columns_on_a_terminal(monkeypatch, capsys):
    show_on_a_terminal(monkeypatch)
    print_rows(ROWS)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].split() == ["short", "one"]
    assert all(line.startswith(" " * 16) for line in lines[2:])


def test_elsewhere_each_is_a_line(capsys):
    print_rows(ROWS)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    show_on_a_terminal(monkeypatch)
    assert list(with_progress(iter(range(3)), 3, "looking")) == [0, 1, 2]
    assert "looking" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert list(with_progress(iter(range(3)), 3, "looking")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
