import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from medicane_models.errors import CheckpointError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_training.engines.interface import Engine
from medicane_training.ranks import Ranks
from medicane_training.recipes.sections import TrainingSettings
from medicane_training.run.checkpoint import (
    Best,
    Checkpoints,
    RunProgress,
    damage,
    newest_sound,
    read_progress,
    saved,
)

ALONE = Ranks(rank=0, local_rank=0, world_size=1)
TINY = MedicaneConfig.preset(
    "tiny", task="classification", embed_dim=12, depth=1, num_heads=1, mlp_hidden_dim=12
)


class WritesText(Engine):
    """An engine of one small file."""

    model = MedicaneForVideoClassification(TINY)
    device = torch.device("cpu")

    def __init__(self) -> None:
        pass

    def save(self, folder: Path) -> None:
        (folder / "state.txt").write_text("state " * 100)

    def _unused(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("saving a checkpoint asks for no more than to save")

    forward = gradient_norm = skip = load = _add_gradients = _update = _unused


def checkpoints(folder: Path, **settings: object) -> Checkpoints:
    return Checkpoints(
        folder, TrainingSettings(**{"epochs": 1, "global_batch": 1, **settings}), ALONE
    )


def save(folder: Path, *steps: int, best: Best | None = None, **settings: object) -> list[Path]:
    keeper = checkpoints(folder, **{"keep": 9, **settings})
    return [keeper.save(WritesText(), RunProgress(step=step, best=best)) for step in steps]


def steps(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in saved(folder)]


def test_progress_comes_back_bit_for_bit(tmp_path):
    progress = RunProgress(
        step=7,
        epoch=1,
        loader={"epoch": 1, "position": 24},
        lines=9,
        line_sums={"loss": 0.1 + 0.2, "steps": 3},
        best=Best(step=5, epoch=1, name="loss", score=1 / 3),
        left_out=[2],
    )
    path = checkpoints(tmp_path).save(WritesText(), progress)
    assert read_progress(path) == progress


def test_a_checkpoint_is_sound_as_saved(tmp_path):
    (path,) = save(tmp_path, 3)
    assert damage(path) is None


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "state.txt is of another size"),
        (lambda path: os.truncate(path, 2**36), "state.txt is of another size"),
        (lambda path: path.write_bytes(b"S" + path.read_bytes()[1:]), "state.txt differs"),
        (lambda path: path.unlink(), "state.txt is missing"),
        (lambda path: path.with_name("progress.json").write_text("{}"), "progress.json is of an"),
        (lambda path: path.with_name("manifest.json").write_text("{"), "cannot be read"),
        (lambda path: path.with_name("manifest.json").unlink(), "cannot be read"),
    ],
)
def test_damage_is_found_and_named(tmp_path, harm, said):
    (path,) = save(tmp_path, 3)
    harm(path / "state.txt")
    assert said in str(damage(path))


def test_a_damaged_newest_gives_way_to_the_one_before_it(tmp_path):
    before, newest = save(tmp_path, 3, 5)
    (newest / "state.txt").unlink()
    told = []
    assert newest_sound(tmp_path, told.append) == before
    assert told == [f"{newest} is damaged (state.txt is missing); looking at the one before"]


def test_nothing_sound_is_an_error(tmp_path):
    for path in save(tmp_path, 3, 5):
        (path / "state.txt").unlink()
    with pytest.raises(CheckpointError, match="every checkpoint"):
        newest_sound(tmp_path, print)


def test_the_newest_and_the_best_are_kept(tmp_path):
    best = Best(step=2, epoch=1, name="loss", score=0.5)
    save(tmp_path, 1, 2, 3, 4, 5, best=best, keep=2)
    assert steps(tmp_path) == [2, 4, 5]


def test_damaged_ones_that_were_passed_over_do_not_crowd_out_sound_ones(tmp_path):
    save(tmp_path, 8, 9)
    save(tmp_path, 4, 5, keep=2)
    assert steps(tmp_path) == [4, 5]


def test_a_step_can_be_saved_again(tmp_path):
    save(tmp_path, 3)
    checkpoints(tmp_path).save(WritesText(), RunProgress(step=3, epoch=1))
    assert read_progress(tmp_path / "step-00000003").epoch == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_what_a_kill_left_over_is_no_checkpoint_and_is_cleared(tmp_path):
    save(tmp_path, 3)
    (tmp_path / ".step-00000004.part").mkdir()
    assert steps(tmp_path) == [3]
    checkpoints(tmp_path).recover()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    (path,) = save(tmp_path, 3)
    path.rename(tmp_path / ".step-00000003.former")
    checkpoints(tmp_path).recover()
    assert damage(path) is None


def test_the_folder_is_a_models_folder(tmp_path):
    (path,) = save(tmp_path, 3)
    assert MedicaneConfig.from_pretrained(path) == TINY
    assert "config.json" in json.loads((path / "manifest.json").read_text())


def test_it_is_time_to_save_by_steps_or_minutes(tmp_path, monkeypatch):
    keeper = checkpoints(tmp_path, save_every_steps=5, save_every_minutes=2.0)
    assert [keeper.due(step) for step in (4, 5, 6)] == [False, True, False]
    later = keeper._saved + 121
    monkeypatch.setattr("medicane_training.run.checkpoint.time.monotonic", lambda: later)
    assert keeper.due(6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": "x"}, "step is 'x'"),
        ({"left_out": 3}, "left_out is 3"),
        ({"other": 1}, "unknown setting other"),
        (None, "damaged"),
    ],
)
def test_progress_that_tells_nothing_is_refused(change, said, tmp_path):
    (path,) = save(tmp_path, 1)
    told = json.loads((path / "progress.json").read_text())
    text = "[" * 100_000 if change is None else json.dumps(told | change)
    (path / "progress.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"progress\.json .*{said}"):
        read_progress(path)


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd"])
def test_a_manifest_reaches_no_file_outside(name, tmp_path):
    (path,) = save(tmp_path, 1)
    (path / "manifest.json").write_text(json.dumps({name: "0"}))
    assert "lies elsewhere" in (damage(path) or "")
