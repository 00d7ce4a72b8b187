import random
import signal
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from cold_spots import scene
from shared_runs import run_over

from medicane_models.errors import ConfigurationError
from medicane_models.prediction.unfinished import UnfinishedRun, going_on
from medicane_models.prediction.workers import judged_here

TABLES = ("detections.csv", "tracks.csv", "forecasts.csv")


@pytest.fixture
def path(tmp_path) -> Path:
    scene(frames=60).to_netcdf(tmp_path / "scene.nc")
    return tmp_path / "scene.nc"


@pytest.fixture
def at_once(path, tmp_path) -> dict[str, bytes]:
    """What a run writes that is never interrupted."""
    run = run_over(path)
    assert [*run]
    return written(run, tmp_path / "at_once")


def written(run, folder: Path) -> dict[str, bytes]:
    run.link().write(folder)
    return {name: (folder / name).read_bytes() for name in TABLES}


def gone_on(path: Path, folder: Path, *, clips=None, judged=None, overwrite=False, **how):
    """A process that takes so many clips of a run; the ends of those that it judged."""
    run, noted = run_over(path, **how), []

    def judge(plans):
        noted.extend(f"{plan.end:%H:%M}" for plan in plans)
        yield from (judged or partial(judged_here, run))(plans)

    with going_on(folder, run, files=[path], overwrite=overwrite) as hours:
        pictures = [
            clip.picture is not None for clip in islice(UnfinishedRun(run, hours, judge), clips)
        ]
    return run, noted, pictures


def test_what_goes_on_writes_what_one_run_writes(path, tmp_path, at_once):
    gone_on(path, tmp_path / "state", clips=7)
    run, judged, _ = gone_on(path, tmp_path / "state")
    assert len(judged) == len(run) - 7
    assert written(run, tmp_path / "out") == at_once


def test_a_killed_process_loses_and_repeats_nothing(path, tmp_path, at_once):
    code = f"""
import sys
sys.path[:0] = {[entry for entry in sys.path if entry]!r}
from functools import partial
from pathlib import Path
from shared_runs import killed_always
from medicane_models.prediction.unfinished import UnfinishedRun, going_on
from medicane_models.prediction.workers import judged_here
path, state = map(Path, sys.argv[1:])
run = killed_always(path)
with going_on(state, run, files=[path], overwrite=False) as hours:
    for clip in UnfinishedRun(run, hours, partial(judged_here, run)):
        print(clip.end, flush=True)
"""
    command = [sys.executable, "-c", code, path, tmp_path / "state"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run, judged, _ = gone_on(path, tmp_path / "state")
    assert judged[0] == "02:00"
    assert len(judged) == len(run) - len(ended.stdout.splitlines())
    assert written(run, tmp_path / "out") == at_once


def test_clips_that_come_in_any_order_are_taken_in_that_of_time(path, tmp_path, at_once):
    def shuffled(plans):
        hours = list(judged_here(run_over(path), plans))
        random.Random(0).shuffle(hours)
        yield from hours

    run, _, _ = gone_on(path, tmp_path / "state", judged=shuffled)
    assert written(run, tmp_path / "out") == at_once


def test_hours_that_came_too_early_are_kept(path, tmp_path):
    def backwards(plans):
        yield from reversed(list(judged_here(run_over(path), plans))[3:])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gone_on(path, tmp_path / "state", judged=backwards)
    assert len(gone_on(path, tmp_path / "state")[1]) == 3


def test_pictures_that_nobody_wanted_before_are_made_now(path, tmp_path):
    gone_on(path, tmp_path / "state", clips=3)
    run, judged, pictures = gone_on(path, tmp_path / "state", pictures=True)
    assert pictures == [False, *[True] * (len(run) - 1)]  # the first has too few frames
    assert len(judged) == len(run) - 1
    assert gone_on(path, tmp_path / "state", pictures=True)[1] == []


def test_a_damaged_hour_is_judged_again(path, tmp_path, at_once):
    gone_on(path, tmp_path / "state")
    (tmp_path / "state" / "hours" / "20200917T020000.json").write_text("{")
    run, judged, _ = gone_on(path, tmp_path / "state")
    assert judged == ["02:00"]
    assert written(run, tmp_path / "out") == at_once


@pytest.fixture(params=["settings", "scene files"])
def changed(request, path, tmp_path) -> dict:
    """What was judged in part, and how it is gone on with otherwise."""
    gone_on(path, tmp_path / "state", clips=7)
    if request.param == "settings":
        return {"complaint": r"\(settings differ\)", "end": "2020-09-17T03:00"}
    path.touch()
    return {"complaint": r"\(scene files differ\)"}


def test_nothing_else_is_gone_on_with(path, tmp_path, changed):
    complaint = changed.pop("complaint")
    with pytest.raises(ConfigurationError, match=complaint):
        gone_on(path, tmp_path / "state", **changed)
    run, judged, _ = gone_on(path, tmp_path / "state", **changed, overwrite=True)
    assert len(judged) == len(run)


def test_a_run_that_has_judged_nothing_leaves_nothing(path, tmp_path):
    gone_on(path, tmp_path / "state", clips=0)
    assert not (tmp_path / "state").exists()
