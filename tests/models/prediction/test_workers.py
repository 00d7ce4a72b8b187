import multiprocessing
import warnings
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from cold_spots import scene
from distributed import LocalCluster
from shared_runs import failing, killed_always, killed_once, run_over

from medicane_models.errors import ConfigurationError, SceneError, SceneWarning, WorkerError
from medicane_models.prediction import workers
from medicane_models.prediction.workers import judged_by_dask, judged_by_processes, judged_here

WORKERS = 2


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    scene(frames=44).to_netcdf(folder / "scene.nc")
    return folder / "scene.nc"


@pytest.fixture(scope="module")
def plans(path):
    return run_over(path).plans


@pytest.fixture(scope="module")
def alone(path):
    """Hours that one process judges."""
    run = run_over(path, pictures=True)
    return list(judged_here(run, run.plans))


def by_dask(make_run, plans):
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
        return list(judged_by_dask(make_run, plans, cluster.scheduler_address))


def by_processes(make_run, plans):
    return list(judged_by_processes(make_run, plans, WORKERS))


@pytest.fixture(scope="module", params=[by_processes, by_dask])
def shared(request, path, plans):
    """Hours that two others judge, one of which is killed, and what is warned of meanwhile."""
    path.with_suffix(".killed").unlink(missing_ok=True)
    with warnings.catch_warnings(record=True) as told:
        hours = request.param(partial(killed_once, path, pictures=True), plans)
    assert path.with_suffix(".killed").exists()
    return hours, [str(each.message) for each in told if each.category is SceneWarning]


def test_others_judge_what_one_process_judges_though_one_is_killed(shared, alone):
    hours, _ = shared
    assert sorted(hours) == alone


def test_what_is_warned_of_elsewhere_is_warned_of_here_once(shared):
    _, told = shared
    assert told == ["doubtful"]


def test_clips_that_kill_every_process_are_given_up(path, plans):
    with pytest.raises(WorkerError, match=r"clip ending 2020-09-17 02:00:00 \(exit code -9"):
        by_processes(partial(killed_always, path), plans)


def test_what_goes_wrong_elsewhere_goes_wrong_here(path, plans):
    with pytest.raises(SceneError, match="the frame of 02:00 is unreadable"):
        by_processes(partial(failing, path), plans)


@pytest.mark.parametrize("taken", [1, None])
def test_processes_end_by_themselves_when_nobody_listens(taken, path, plans, monkeypatch):
    monkeypatch.setattr(workers, "SECONDS_TO_DIE", 120.0)  # of a busy machine
    hours = judged_by_processes(partial(run_over, path), plans, WORKERS)
    next(hours)
    team = multiprocessing.active_children()
    list(islice(hours, taken))
    hours.close()
    assert [process.exitcode for process in team] == [0] * WORKERS  # killed ones leave semaphores


def test_nothing_to_judge_starts_nobody(path):
    assert by_processes(partial(run_over, path), []) == []


def test_a_scheduler_that_does_not_answer_is_named(path, plans):
    with pytest.raises(ConfigurationError, match="no dask scheduler answers at nowhere"):
        list(judged_by_dask(partial(run_over, path), plans, "nowhere"))
