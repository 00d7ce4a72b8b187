import errno
import fcntl
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medicane_models.errors import ConfigurationError, OutputError
from medicane_models.files import (
    MACHINE,
    alone_in,
    json_text,
    locked,
    making,
    read_bytes,
    replacing,
    staging,
    to_plain,
    write_json,
)

NOON = "2020-03-01T12:00:00Z"


@dataclass(frozen=True)
class Place:
    """Something with fields."""

    name: str
    at: tuple[float, float]


class Side(Enum):
    """Something to choose from."""

    LEFT = "left"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2020, 3, 1, 12), NOON),
        (datetime(2020, 3, 1, 12, tzinfo=UTC), NOON),
        (datetime(2020, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (pd.Timestamp("2020-03-01 12:00"), NOON),
        (np.datetime64("2020-03-01T12:00", "ns"), NOON),
        (np.array(["2020-03-01T12:00"], "datetime64[ns]"), [NOON]),
        (np.datetime64("NaT"), None),
        (pd.NaT, None),
        (float("nan"), None),
        (-np.inf, None),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (Path("a") / "b", "a/b"),
        (Side.LEFT, "left"),
        ({1: (2, None)}, {"1": [2, None]}),
        (Place("Ianos", (np.nan, 38.0)), {"name": "Ianos", "at": [None, 38.0]}),
    ],
)
def test_values_become_what_json_has(value, expected):
    assert to_plain(value) == expected
    assert json.loads(json_text([value])) == [expected]


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_text(object())


def test_a_file_is_whole_or_as_it_was(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "new" / "a.json", object())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"a": 1}


KILLED = """
import os, signal, sys
from pathlib import Path
from medicane_models.files import replacing, staging
with {writer}(Path(sys.argv[1])) as work:
    {make}
    print(work.name, flush=True)
    {end}
"""
WRITERS = {
    "file": ("replacing", "work.write_text('half')"),
    "folder": ("replacing", "work.mkdir(); (work / 'half').touch()"),
    "staging": ("staging", "(work / 'half').touch()"),
}


def writing(kind, path, *, end):
    """A process that is half through with writing; with the name that it writes to."""
    writer, make = WRITERS[kind]
    code = KILLED.format(writer=writer, make=make, end=end)
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def place(kind, folder):
    """What the process writes to, so that its hidden name is in the folder."""
    return folder if kind == "staging" else folder / "out.zarr"


@pytest.mark.parametrize("kind", WRITERS)
def test_what_a_killed_process_left_goes_with_the_next(kind, tmp_path):
    process, name = writing(kind, place(kind, tmp_path), end="os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate()
    assert (tmp_path / name).exists()
    with staging(tmp_path):
        write_json(tmp_path / "other.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


@pytest.mark.parametrize("kind", WRITERS)
def test_what_a_living_process_writes_stays(kind, tmp_path):
    process, name = writing(kind, place(kind, tmp_path), end="input()")
    with staging(tmp_path, alone=False):
        assert (tmp_path / name).exists()
    process.communicate("\n")
    assert not (tmp_path / name).exists()


def test_what_another_machine_writes_stays(tmp_path):
    other = tmp_path / ".out.elsewhere.999999999.part.csv"
    other.touch()
    with staging(tmp_path):
        assert other.exists()


def test_a_replacement_cut_off_between_two_renames_is_undone(tmp_path):
    (tmp_path / f".out.{MACHINE}.{2**30}.former.zarr").mkdir()
    (tmp_path / f".out.{MACHINE}.{2**30}.part.zarr").mkdir()
    with staging(tmp_path):
        assert (tmp_path / "out.zarr").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    for number in range(2):
        with replacing(tmp_path / "out.zarr") as work:
            work.mkdir()
            (work / str(number)).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out.zarr", "1"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "a.json" / "kept").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"a\.json cannot be written"):
        write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json" / "kept").exists()


def test_staging_leaves_no_folder_that_nobody_used(tmp_path):
    with staging(tmp_path / "new" / "out"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [staging, alone_in, making])
def test_a_file_is_no_folder_to_write_into(place, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file is a file; choose another folder"):
        place(tmp_path / "file").__enter__()


def test_a_lock_file_that_its_holder_removes_meanwhile_is_no_lock(tmp_path, monkeypatch):
    lock, flock = tmp_path / ".lock", fcntl.flock

    def too_late(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        lock.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with (
        suppress(ConfigurationError),  # refused, or with a new file
        locked(lock, "busy"),
        pytest.raises(ConfigurationError, match="busy"),
        locked(lock, "busy"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_where_the_disk_knows_no_locks_one_process_has_the_folder_all_the_same(
    tmp_path, monkeypatch
):
    def unknown(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unknown)
    for _ in range(2):
        with (
            locked(tmp_path / ".lock", "busy"),
            pytest.raises(ConfigurationError, match="busy"),
            locked(tmp_path / ".lock", "busy"),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def endless(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_may_never_end_is_not_read(kind, tmp_path):
    with pytest.raises(OSError, match="a pipe, a device or a folder"):
        read_bytes(endless(tmp_path / "x", kind))


def test_no_file_is_read_that_does_not_fit_into_memory(tmp_path):
    (tmp_path / "x").touch()
    os.truncate(tmp_path / "x", 2**40)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_bytes(tmp_path / "x", most=10)
