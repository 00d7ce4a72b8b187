"""What is written where a disk is full: nothing, and a sentence says so."""

import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from clip_stores import scene
from export_models import tiny_source
from sample_tracks import path_of

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_models.domain import MEDITERRANEAN
from medicane_models.errors import OutputError
from medicane_models.maps.canvas import save
from medicane_models.maps.films import write_film
from medicane_models.network.weights import write_weights
from medicane_models.prediction.track_files.formats import FORMATS, save_tracks
from medicane_models.scenes.opening import open_scene
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation import write_simulation
from medicane_models.verification.evaluation import evaluate
from medicane_models.verification.evaluation_files import write_evaluation
from medicane_training.engines.state import write_state
from medicane_training.ranks import Ranks
from medicane_training.store.clip_store import save_table
from medicane_training.store.download import _save, download_archive
from medicane_training.store.writer import create_store

pytestmark = pytest.mark.slow

LARGEST_BYTES = 2000
NUMBERS = np.random.default_rng(0).random(20_000)
TRACKS = path_of(1, NUMBERS * 90, NUMBERS * 45)
ALONE = Ranks(rank=0, local_rank=0, world_size=1)


@contextmanager
def full_disk(largest: int = LARGEST_BYTES):
    """No file may become larger than some bytes, of which the system tells as of a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, ignored)


def figure():
    from matplotlib.figure import Figure

    drawn = Figure()
    drawn.subplots().plot(NUMBERS)
    return drawn


def write_onnx(folder: Path) -> None:
    export_onnx(tiny_source(), folder, OnnxRequest(count=0), lambda text: None)


WRITERS = {
    "weights": lambda out: write_weights(out / "w.safetensors", {"w": torch.rand(10_000)}),
    "state": lambda out: write_state(
        out, {"w": torch.rand(10_000)}, steps=1, ranks=ALONE, device=torch.device("cpu")
    ),
    "table": lambda out: save_table(TRACKS, out / "t.parquet"),
    **{
        f"{form} tracks": lambda out, form=form: save_tracks(TRACKS, out, [form])
        for form in FORMATS
    },
    "picture": lambda out: save(figure(), out / "p.png"),
    "film": lambda out: write_film(
        out / "f", iter(np.random.default_rng(0).integers(0, 255, (9, 96, 96, 3), np.uint8))
    ),
    "simulation": lambda out: write_simulation(
        out / "s.zarr", start="2020-09-17", hours=0.1, grid=MEDITERRANEAN.window(600, 200, 90, 60)
    ),
    "exported graph": write_onnx,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_nothing_is_half_written_on_a_full_disk(kind, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with full_disk(), pytest.raises(OutputError, match="cannot be written"):
        WRITERS[kind](out)
    assert [path for path in out.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("largest", [2000, 8000])  # bytes; the page alone has more than 8000
def test_an_evaluation_is_written_whole_or_not_at_all(tmp_path, largest):
    storm = path_of(1, np.full(3, 18.0), np.full(3, 36.0))
    save_tracks(storm, tmp_path, ["csv"])
    report = evaluate(tmp_path / "tracks.csv", tmp_path / "tracks.csv")
    with full_disk(largest), pytest.raises(OutputError, match=r"out cannot be written \(File too"):
        write_evaluation(report, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_film_that_could_not_be_written_is_told_of_in_a_short_sentence(tmp_path):
    with full_disk(), pytest.raises(OutputError) as told:
        WRITERS["film"](tmp_path)
    assert len(str(told.value).splitlines()) == 1


def test_a_damaged_archive_is_no_full_disk(tmp_path):
    def damaged(block):
        raise RuntimeError("error during blosc decompression: -1")

    there = open_scene(scene(pd.date_range("2020-09-17", periods=2, freq="5min"))).chunk(time=1)
    there["IR_108"] = there["IR_108"].copy(
        data=there["IR_108"].data.map_blocks(damaged, dtype="f4")
    )
    with pytest.raises(RuntimeError, match="blosc"):
        _save(there, tmp_path / "a.nc")


def test_an_error_of_the_device_is_no_full_disk(tmp_path, monkeypatch):
    def out_of_memory(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch, "save", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        WRITERS["state"](tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_could_not_be_begun_is_begun_anew(tmp_path):
    with full_disk(), pytest.raises(OutputError, match=r"s\.zarr cannot be written"):
        create_store(tmp_path / "s.zarr", MedicaneProcessor.planes())
    assert create_store(tmp_path / "s.zarr", MedicaneProcessor.planes()).frames.empty


def test_a_day_is_downloaded_whole_or_not_at_all(tmp_path):
    there = scene(pd.date_range("2020-09-17", periods=2, freq="5min"))
    there.to_zarr(tmp_path / "2020.zarr", zarr_format=2)
    archive, day = str(tmp_path / "{year}.zarr"), "2020-09-17"
    with full_disk(), pytest.raises(OutputError, match=r"20200917\.nc cannot be written"):
        download_archive(tmp_path / "out", start=day, end=day, domain=None, archive=archive)
    assert list((tmp_path / "out").iterdir()) == []
