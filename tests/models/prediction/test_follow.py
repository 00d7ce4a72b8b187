import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pandas as pd
import plane_scenes
import pytest
from cold_spots import scene
from followed_folders import CLIPS, FRAMES, arrive, once, tables

from medicane_models.errors import CheckpointError, ConfigurationError, UnjudgedWarning
from medicane_models.prediction import products
from medicane_models.prediction.follow import Follower, following_alone
from medicane_models.prediction.run import PredictionRun


def test_one_round_writes_what_predict_writes(source, there, tmp_path, at_once):
    arrive(there, *source)
    status = once(there, tmp_path / "out")
    assert tables(tmp_path / "out") == at_once
    assert (status.hours, status.judged, status.pending) == (CLIPS, CLIPS, 0)


ORDERS = {
    "one by one": [[row] for row in range(FRAMES)],
    "backwards": [[row] for row in reversed(range(FRAMES))],
    "a late one": [[*range(7), *range(8, 14)], [7]],
}


@pytest.mark.parametrize("order", ORDERS)
def test_restarts_after_each_arrival_write_what_one_run_writes(
    source, there, tmp_path, at_once, order
):
    for rows in ORDERS[order]:
        arrive(there, *(source[row] for row in rows))
        once(there, tmp_path / "out")
    assert tables(tmp_path / "out") == at_once


def test_a_nearer_frame_takes_the_place_of_one_that_ended_an_hour(there, tmp_path):
    at = (20.0, 36.0)
    whole = plane_scenes.scene(at, plane_scenes.grid_around(*at), minutes=20, frames=6)
    planes = plane_scenes.predictor()
    planes.predict(whole).write(tmp_path / "at_once")
    for row, judged in enumerate((1, 0, 1, 1, 0, 1)):  # at 00:00, 00:40, 01:00 in its place, 01:40
        whole.isel(time=[row]).to_netcdf(there / f"{row}.nc")
        follower = Follower(planes, [there], tmp_path / "out", products={"plot": False})
        assert follower.round(threading.Event()).judged == judged
    assert len(follower.hours) == 3
    assert tables(tmp_path / "out") == tables(tmp_path / "at_once")


@pytest.fixture
def sectors(there, tmp_path) -> list[Path]:
    """Frames around a cyclone, each further east."""
    at, paths = (20.0, 36.0), []
    for row in range(4):
        whole = plane_scenes.scene(at, plane_scenes.grid_around(at[0] + row, at[1]), frames=4)
        paths.append(tmp_path / f"{row}.nc")
        whole.isel(time=[row]).to_netcdf(paths[-1])
    return paths


def follow_planes(there: Path, out: Path, **products) -> Follower:
    follower = Follower(plane_scenes.predictor(), [there], out, products={"plot": False} | products)
    follower.round(threading.Event())
    return follower


def test_sectors_that_move_are_judged_alike_in_any_order(sectors, there, tmp_path):
    for path in reversed(sectors):
        arrive(there, path)
        follow_planes(there, tmp_path / "out")
    follow_planes(there, tmp_path / "at_once")
    assert tables(tmp_path / "out") == tables(tmp_path / "at_once")
    assert not pd.read_csv(tmp_path / "out" / "tracks.csv")["edge"].any()


def test_maps_of_sectors_that_move_lie_where_these_do(sectors, there, tmp_path, monkeypatch):
    grids = []
    monkeypatch.setattr(products, "detection_map", lambda *given, **_: grids.append(given[1]))
    monkeypatch.setattr(products, "track_map", lambda *_, **__: None)
    monkeypatch.setattr(products, "save", lambda figure, path: None)
    arrive(there, *sectors[:1])
    follow_planes(there, tmp_path / "out", plot=True)
    arrive(there, *sectors[1:])
    follow_planes(there, tmp_path / "out", plot=True)
    assert [round(grid.extent[2]) for grid in grids] == [28, 29, 30, 31]


def test_a_domain_of_which_much_is_not_judged_is_told_once(sectors, there, tmp_path):
    wide, kept = (4.0, 30.0, 38.0, 42.0), {"plot": False}
    out = tmp_path / "out"
    follower = Follower(plane_scenes.predictor(), [there], out, products=kept, domain=wide)
    told = []
    for sector in sectors:
        arrive(there, sector)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnjudgedWarning)
            assert follower.round(threading.Event()).judged == 1
        told.append([str(one.message) for one in caught if one.category is UnjudgedWarning])
    assert [len(of_round) for of_round in told] == [1, 0, 0, 0]
    assert "of the domain is not judged" in told[0][0]


def test_a_second_round_does_nothing(source, there, tmp_path, judged):
    arrive(there, *source)
    once(there, tmp_path / "out")
    written = (tmp_path / "out" / "detections.json").stat().st_mtime_ns
    judged.clear()
    assert once(there, tmp_path / "out").judged == 0
    assert not judged
    assert (tmp_path / "out" / "detections.json").stat().st_mtime_ns == written


def test_a_late_frame_has_the_hours_that_it_is_in_judged_again(source, there, tmp_path, judged):
    arrive(there, *(path for row, path in enumerate(source) if row != 8))
    once(there, tmp_path / "out")
    judged.clear()
    arrive(there, source[8])
    once(there, tmp_path / "out")
    assert judged == ["00:45"]


def test_copies_are_judged_once(source, there, tmp_path, judged, at_once):
    arrive(there, *source)
    once(there, tmp_path / "out")
    judged.clear()
    (there / "frame_05_copy.nc").write_bytes(source[5].read_bytes())
    os.utime(there / "frame_04.nc")
    once(there, tmp_path / "out")
    assert not judged
    assert tables(tmp_path / "out") == at_once


def test_a_file_that_is_half_written_waits_and_is_read_when_it_is_whole(
    source, there, tmp_path, at_once
):
    arrive(there, *source)
    (there / source[9].name).write_bytes(source[9].read_bytes()[:4000])
    status = once(there, tmp_path / "out", patience_seconds=300.0)
    assert list(status.waiting) == [str(there / source[9].name)]
    assert not status.refused
    arrive(there, source[9])
    status = once(there, tmp_path / "out", patience_seconds=300.0)
    assert not status.waiting
    assert tables(tmp_path / "out") == at_once


def test_a_file_that_is_written_anew_leaves_its_hours_as_they_are(
    source, there, tmp_path, at_once, judged
):
    arrive(there, *source)
    once(there, tmp_path / "out", patience_seconds=300.0)
    judged.clear()
    for content in (source[5].read_bytes()[:4000], source[5].read_bytes()):
        (there / source[5].name).write_bytes(content)
        once(there, tmp_path / "out", patience_seconds=300.0)
    assert not judged
    assert tables(tmp_path / "out") == at_once


def test_an_hour_that_was_judged_while_a_file_was_away_is_judged_again(
    source, there, tmp_path, at_once, judged
):
    arrive(there, *source[:4])
    once(there, tmp_path / "out")
    (there / source[3].name).unlink()
    arrive(there, *source[4:])
    once(there, tmp_path / "out")
    assert tables(tmp_path / "out") != at_once
    judged.clear()
    arrive(there, source[3])
    once(there, tmp_path / "out")
    assert judged == ["00:30"]
    assert tables(tmp_path / "out") == at_once


def test_a_corrupt_file_is_refused_once_and_left_alone(source, there, tmp_path, caplog):
    arrive(there, *source[:8])
    (there / "frame_99.nc").write_bytes(b"no netCDF")
    for _ in range(3):
        status = once(there, tmp_path / "out")
    assert list(status.refused) == [str(there / "frame_99.nc")]
    assert "frame_99.nc" in status.refused[str(there / "frame_99.nc")]
    assert sum("frame_99.nc is refused" in record.message for record in caplog.records) == 1


def test_hours_stay_when_their_files_are_cleared_away(source, there, tmp_path, at_once, judged):
    arrive(there, *source[:12])
    once(there, tmp_path / "out")
    for path in sorted(there.iterdir())[:6]:
        path.unlink()
    arrive(there, *source[12:])
    once(there, tmp_path / "out")
    assert tables(tmp_path / "out") == at_once


def test_a_frame_of_another_satellite_spoils_its_own_hours_only(source, there, tmp_path):
    arrive(there, *source[:11])
    other = scene(frames=FRAMES, sensor="fci", sub_satellite_longitude=0.0)
    other.isel(time=[11]).to_netcdf(there / "other.nc")
    status = once(there, tmp_path / "out")
    assert list(status.skipped) == ["2020-09-17T00:00:00", "2020-09-17T00:55:00"]
    assert "different sensors" in status.skipped["2020-09-17T00:55:00"]


def test_nothing_there_yet_is_no_error(there, tmp_path):
    status = once(there, tmp_path / "out")
    assert (status.hours, status.newest_frame) == (0, None)
    assert not (tmp_path / "out" / "detections.csv").exists()


def test_a_signal_ends_a_round_after_the_hour_at_hand(
    source, there, tmp_path, at_once, monkeypatch
):
    arrive(there, *source)
    stop, detect = threading.Event(), PredictionRun._detect

    def interrupted(self, clip):
        if f"{clip.end:%H:%M}" == "00:30":
            stop.set()
        return detect(self, clip)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionRun, "_detect", interrupted)
        status = once(there, tmp_path / "out", stop=stop)
    assert (status.judged, status.pending, status.state) == (3, CLIPS - 3, "ended")
    told = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert not told["provenance"]["complete"]
    once(there, tmp_path / "out")
    assert tables(tmp_path / "out") == at_once


def test_other_settings_are_refused(there, tmp_path):
    once(there, tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"other settings \(every differ"):
        once(there, tmp_path / "out", every_minutes=30)


def test_results_of_another_kind_of_run_are_left_alone(there, tmp_path):
    (tmp_path / "detections.csv").touch()
    with pytest.raises(ConfigurationError, match="followed nothing"):
        once(there, tmp_path)


def test_one_process_at_a_time_follows_into_a_folder(tmp_path):
    other = f"import sys; sys.path[:0] = {sys.path!r}\n"
    other += "from pathlib import Path\nfrom medicane_models.prediction.follow import *\n"
    other += f"with following_alone(Path({str(tmp_path)!r})): pass"
    with following_alone(tmp_path):
        ended = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
    assert "another process writes into" in ended.stderr


def test_rounds_publish_while_other_processes_are_kept_out(source, there, tmp_path, at_once):
    arrive(there, *source)
    with following_alone(tmp_path / "out"):
        once(there, tmp_path / "out")
    assert tables(tmp_path / "out") == at_once


def test_a_source_that_is_no_folder_is_refused(source, tmp_path):
    with pytest.raises(ConfigurationError, match="is no folder that files arrive in"):
        once(source[0], tmp_path / "out")


KILLED = """
import os, signal, sys, threading
sys.path[:0] = {path!r}
from cold_spots import predictor
from medicane_models.prediction.follow import Follower
from medicane_models.prediction.judged_hours import JudgedHours
from medicane_models.prediction.products import ProductWriter
from medicane_models.prediction.run import PredictionRun

detect = PredictionRun._detect
def noted(self, clip):
    print(clip.end, flush=True)
    return detect(self, clip)
PredictionRun._detect = noted

add, count = JudgedHours.add, 0
def killed(self, hour):
    global count
    count += 1
    add(self, hour)
    if {where!r} == "judging" and count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
JudgedHours.add = killed
if {where!r} == "publishing":
    ProductWriter.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Follower(predictor(), [sys.argv[1]], __import__("pathlib").Path(sys.argv[2]),
    products={{"plot": False}}, every_minutes=15).round(threading.Event())
"""


@pytest.mark.parametrize(("where", "before"), [("judging", 3), ("publishing", CLIPS)])
def test_a_killed_process_loses_and_repeats_nothing(
    source, there, tmp_path, at_once, judged, where, before
):
    arrive(there, *source)
    code = KILLED.format(path=[entry for entry in sys.path if entry], where=where)
    ended = subprocess.run(
        [sys.executable, "-c", code, there, tmp_path / "out"], capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(ended.stdout.splitlines()) == before
    judged.clear()
    once(there, tmp_path / "out")
    assert len(judged) == CLIPS - before
    assert tables(tmp_path / "out") == at_once


@pytest.mark.parametrize(
    "change",
    [
        {"marks": 3},
        {"marks": [["a"]]},
        {"frames": {"never": "a"}},
        {"frames": True},
        {"state": "x"},
        {"other": 1},
    ],
)
def test_what_arrived_is_never_guessed(change, there, source, tmp_path):
    arrive(there, *source[:4])
    once(there, tmp_path / "out")
    path = tmp_path / "out" / "follow" / "arrivals.json"
    images = json.loads(path.read_text())
    images[next(iter(images))] |= change
    path.write_text(json.dumps(images))
    with pytest.raises(CheckpointError, match=r"arrivals\.json is damaged .* remove it"):
        once(there, tmp_path / "out")
