"""What a system clock that jumps does to what is followed: nothing."""

import itertools
import threading
import time

import pytest
from cold_spots import predictor, scene

from medicane_models.prediction.arrivals import Arrivals
from medicane_models.prediction.follow import Follower

NOW, DAY, PATIENCE = 1_800_000_000.0, 86_400.0, 300.0
JUMPS = {
    "backwards at every look": (-DAY * n for n in itertools.count()),
    "back and forth": itertools.cycle((0.0, -10 * DAY, 10 * DAY)),
    "to 1970": itertools.chain([0.0], itertools.repeat(60.0 - NOW)),
}


@pytest.mark.parametrize("jumps", JUMPS)
def test_what_is_followed_under_a_clock_that_jumps_is_what_one_run_finds(
    jumps, tmp_path, monkeypatch
):
    moving, there = scene(frames=8), tmp_path / "in"
    there.mkdir()
    monkeypatch.setattr(time, "time", lambda: NOW + next(JUMPS[jumps]))
    for row in range(8):
        moving.isel(time=[row]).to_netcdf(there / f"{row}.nc")
        options = {"products": {"plot": False}, "every_minutes": 15}
        Follower(predictor(), [there], tmp_path / "out", **options).round(threading.Event())
    predictor().predict(moving, every_minutes=15).write(tmp_path / "at_once")
    for name in ("detections.csv", "tracks.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()


def half_written(folder):
    """What has arrived in a folder with one file that cannot be read, and how it is looked at."""
    (folder / "half.nc").write_bytes(b"CDF\x01")
    found = Arrivals(folder / "arrivals.json", _unreadable, patience_seconds=PATIENCE)
    images = {"half.nc": [folder / "half.nc"]}
    return found, lambda now: found.look(images, now, threading.Event())


def _unreadable(files):
    raise OSError("it ends too early")


def test_patience_does_not_last_for_years_after_a_clock_was_set_back(tmp_path):
    found, look = half_written(tmp_path)
    for now in (NOW + 1000 * DAY, NOW, NOW + PATIENCE - 1):
        look(now)
        assert found.reasons("waiting")
    look(NOW + PATIENCE)
    assert found.reasons("refused")


def test_what_a_clock_that_leapt_had_refused_is_read_when_it_is_whole(tmp_path):
    found, look = half_written(tmp_path)
    look(NOW)
    look(NOW + DAY)
    assert found.reasons("refused")
    (tmp_path / "half.nc").write_bytes(b"CDF\x01 and the rest")
    look(NOW)
    assert found.reasons("waiting")
