import contextlib
import errno
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from clip_stores import small_store
from engine_runs import ALONE, in_ranks
from torch._dynamo.testing import CompileCounterWithBackend
from toy_runs import EPOCHS, STEPS_PER_EPOCH, ToyFlow, lines, names, toy_recipe, toy_run

from medicane_models import AutoMedicaneModel
from medicane_models.errors import OutputError
from medicane_models.network.blocks import compile_blocks
from medicane_training.clips.dataset import ClipLoader
from medicane_training.engines.choice import make_engine
from medicane_training.engines.optim import Rates
from medicane_training.engines.plain import PlainEngine
from medicane_training.flows.interface import Step
from medicane_training.recipes.loading import load_recipe
from medicane_training.run import loop
from medicane_training.run.checkpoint import RunProgress, newest_sound, read_progress
from medicane_training.run.dry_run import rehearse, step_seconds
from medicane_training.run.judging import judge_part
from medicane_training.run.loop import NonFiniteError, train_step

STEP = Step(number=0, part=0, seed=0, rank=0, world_size=1)
MODEL_FILES = {"model.safetensors", "config.json", "preprocessor_config.json", "README.md"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("loop") / "s.zarr").path


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    """A run with a picture of its curves."""
    out = tmp_path_factory.mktemp("finished") / "run"
    toy_run(toy_recipe(store), out, curves=True, test=True, command=["medicane-train", "a b"])
    return out


def engine_of(flow: ToyFlow) -> PlainEngine:
    torch.manual_seed(0)
    rates = Rates(flow.recipe.optimizer, 1e-2, STEPS_PER_EPOCH, EPOCHS)
    engine = make_engine(flow.make_model()[0], flow.recipe, ALONE, rates)
    assert isinstance(engine, PlainEngine)
    return engine


def test_a_finished_run_is_a_models_folder(finished, store):
    assert set(names(finished)) >= MODEL_FILES
    model = AutoMedicaneModel.from_pretrained(finished)
    assert model.config.task == "classification"
    assert not model.training


def test_run_yaml_repeats_the_run(finished, store):
    assert load_recipe("classify", file=finished / "run.yaml") == toy_recipe(store)
    told = yaml.safe_load((finished / "run.yaml").read_text())["run"]
    assert told["command"] == "medicane-train 'a b'"
    assert told["versions"]["torch"] == torch.__version__
    assert told["started"].endswith("Z")


def test_evaluation_compiles_nothing(store):
    engine, counter = engine_of(ToyFlow(toy_recipe(store))), CompileCounterWithBackend("eager")
    compile_blocks(engine.model, backend=counter)
    clips = torch.zeros(1, *engine.model.config.clip_shape)
    with engine.evaluated() as model:
        model(clips)
    assert counter.frame_count == 0


def test_a_source_tree_trains_and_names_no_version_of_its_own(store, tmp_path, in_a_source_tree):
    toy_run(toy_recipe(store), tmp_path)
    versions = yaml.safe_load((tmp_path / "run.yaml").read_text())["run"]["versions"]
    assert set(versions) == {"numpy", "python", "timm", "torch"}


def test_split_csv_says_which_part_each_clip_is_in(finished, store):
    parts = pd.read_csv(finished / "split.csv")["part"]
    assert parts.tolist() == ToyFlow(toy_recipe(store)).clips.part.tolist()


def test_metrics_hold_every_step_and_validation(finished):
    found = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in found if line["kind"] == "step"]
    assert steps == list(range(1, STEPS_PER_EPOCH * EPOCHS + 1))
    assert [line["epoch"] for line in found if line["kind"] == "validation"] == [1, 2, 3]
    expected = {"loss", "lr", "weight_decay", "gradient_norm", "clips_per_second", "memory_mb"}
    assert expected <= found[0].keys()


def test_tensorboard_has_the_same_losses(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    shown = [event.value for event in events.Scalars("step/loss")]
    written = [line["loss"] for line in lines(finished) if line["kind"] == "step"]
    np.testing.assert_allclose(shown, written, rtol=1e-6)


def test_the_best_and_the_newest_checkpoints_are_kept(finished):
    best = min(
        (line for line in lines(finished) if line["kind"] == "validation"),
        key=lambda line: line["loss"],
    )
    last = STEPS_PER_EPOCH * EPOCHS
    expected = {f"step-{step:08d}" for step in (best["step"], last - 2, last)}
    assert set(names(finished / "checkpoints")) == expected


def test_the_chosen_model_is_the_best_checkpoints(finished):
    best = json.loads((finished / "scores.json").read_text())["step"]
    chosen = finished / "checkpoints" / f"step-{best:08d}" / "model.safetensors"
    assert (finished / "model.safetensors").read_bytes() == chosen.read_bytes()


def test_the_curves_are_drawn(finished):
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_validation_and_test_hold_each_of_their_clips_once(finished, store):
    flow = ToyFlow(toy_recipe(store))
    for part in ("validation", "test"):
        table = pd.read_parquet(finished / f"{part}.parquet")
        np.testing.assert_array_equal(table["clip"], flow.clips.rows(part))
        ends = flow.clips.store.clips["end"].to_numpy()[table["clip"]]
        assert (table["end"].to_numpy() == ends).all()


def test_test_clips_are_untouched_without_the_flag(store, tmp_path):
    flow = ToyFlow(toy_recipe(store, epochs=1))
    seen = set()
    judge = flow.judge
    flow.judge = lambda model, batch: seen.update(batch.clip.tolist()) or judge(model, batch)
    toy_run(flow.recipe, tmp_path / "run", flow=flow)
    assert seen == set(flow.clips.rows("validation").tolist())
    assert not list((tmp_path / "run").glob("test.*"))


def test_a_step_in_parts_is_the_step_in_one(store):
    """The mean over equal parts is the mean over all."""
    taken = []
    for accumulation in (1, 4):
        recipe = toy_recipe(store, changes={}, accumulation=accumulation)
        flow = ToyFlow(recipe)
        engine = engine_of(flow)
        batch = next(iter(flow.clips.training(global_batch=8, rank=0, world_size=1)))
        taken.append(list(train_step(flow, engine, batch, 0, ALONE).values()))
    np.testing.assert_allclose(taken[0], taken[1], rtol=1e-5)


def test_the_gradient_norm_is_that_of_all_parameters(store):
    flow = ToyFlow(toy_recipe(store, changes={}))
    engine = engine_of(flow)
    batch = next(iter(flow.clips.training(global_batch=8, rank=0, world_size=1)))
    flow.loss(engine.model, batch, STEP).backward()
    squares = [float((p.grad**2).sum()) for p in engine.model.parameters() if p.grad is not None]
    engine.skip()
    taken = train_step(flow, engine, batch, 0, ALONE)
    assert taken["gradient_norm"] == pytest.approx(sum(squares) ** 0.5, rel=1e-4)


def test_random_draws_depend_on_the_step_alone(store):
    """Half of the blocks are dropped at random."""
    losses = []
    for draws in (0, 1000):
        flow = ToyFlow(toy_recipe(store))
        engine = engine_of(flow)
        with torch.no_grad():  # so that dropping a block shows in the loss
            engine.model.get_parameter("head.weight").mul_(1000)
        batch = next(iter(flow.clips.training(global_batch=8, rank=0, world_size=1)))
        torch.rand(draws)
        losses.append(train_step(flow, engine, batch, 0, ALONE)["loss"])
    assert losses[0] == losses[1]


def test_a_loss_that_is_no_number_stops_and_names_the_clips(store, tmp_path):
    recipe = toy_recipe(store)
    with pytest.raises(NonFiniteError, match="step 5 has loss nan"):
        toy_run(recipe, tmp_path / "run", flow=ToyFlow(recipe, events={5: "nan"}))
    table = pd.read_csv(tmp_path / "run" / "non_finite-step-5.csv")
    assert len(table) == 8
    assert table["loss"].isna().all()
    flow = ToyFlow(recipe)
    assert table["name"].tolist() == flow.clips.store.names(table["clip"].to_numpy())
    assert names(tmp_path / "run" / "checkpoints")[-1] == "step-00000004"


def test_rolling_back_leaves_out_the_step_alone(store, tmp_path):
    recipe = toy_recipe(store, non_finite="roll_back")
    flow = ToyFlow(recipe, events={5: "nan"})
    toy_run(recipe, tmp_path / "run", flow=flow)
    newest = newest_sound(tmp_path / "run" / "checkpoints", print)
    assert newest is not None
    progress = read_progress(newest)
    assert progress.left_out == [5]
    assert progress.step == STEPS_PER_EPOCH * EPOCHS
    steps = [line["step"] for line in lines(tmp_path / "run") if line["kind"] == "step"]
    assert steps == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(("roll_backs", "reached"), [(None, 3), (1, 1)])
def test_rolling_back_is_bounded(store, tmp_path, roll_backs, reached):
    recipe = toy_recipe(store, non_finite="roll_back", roll_backs=roll_backs)
    flow = ToyFlow(recipe, events=dict.fromkeys(range(2, 12), "nan"))
    with pytest.raises(NonFiniteError, match=f"step {2 + reached} "):
        toy_run(recipe, tmp_path / "run", flow=flow)


def test_a_full_disk_leaves_the_former_checkpoint(store, tmp_path, monkeypatch):
    save, calls = PlainEngine.save, []

    def fill_up(self, folder):
        save(self, folder)
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PlainEngine, "save", fill_up)
    with pytest.raises(OutputError, match=r"step-00000004 cannot be written \(No space left"):
        toy_run(toy_recipe(store), tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    found = newest_sound(folder, pytest.fail)
    assert found is not None
    assert list(folder.glob(".*")) == []
    assert found.name == "step-00000002"


def test_a_device_without_memory_is_not_told_of_as_a_full_disk(store, tmp_path, monkeypatch):
    def fail(self, folder):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PlainEngine, "save", fail)
    with pytest.raises(torch.OutOfMemoryError):
        toy_run(toy_recipe(store), tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_patience_ends_a_run(store, tmp_path):
    flow = ToyFlow(toy_recipe(store, epochs=9, patience=2))
    worse = iter(range(9))
    flow.score = lambda table: {"loss": 1.0 + next(worse)}
    toy_run(flow.recipe, tmp_path / "run", flow=flow)
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert (scores["epoch"], scores["epochs_trained"]) == (1, 3)


def test_validation_comes_as_often_as_asked_and_at_the_end(store, tmp_path):
    toy_run(toy_recipe(store, epochs=5, evaluate_every=2), tmp_path / "run")
    found = [line["epoch"] for line in lines(tmp_path / "run") if line["kind"] == "validation"]
    assert found == [2, 4, 5]


def test_a_dry_run_writes_nothing(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = set(store.parent.rglob("*"))
    recipe = toy_recipe(store)
    monkeypatch.setattr("medicane_training.run.dry_run.make_flow", lambda recipe: ToyFlow(recipe))
    rehearse(recipe)
    shown = capsys.readouterr().out
    assert "an epoch of 4 steps" in shown
    assert "peak memory" in shown
    assert names(tmp_path) == []
    assert set(store.parent.rglob("*")) == before


def test_what_a_run_prints_claims_no_release(store, tmp_path, capsys):
    toy_run(toy_recipe(store, epochs=1), tmp_path / "run")
    shown = " ".join(capsys.readouterr().out.split())
    assert "the run's model, of step 4 (epoch 1)" in shown
    assert "release" not in shown


@pytest.mark.parametrize(("workers", "expected"), [(0, 5.0), (1, 3.0), (2, 2.0)])
def test_only_workers_read_while_a_step_computes(workers, expected):
    assert step_seconds(3.0, 2.0, workers) == expected


def test_a_step_takes_as_long_as_its_batch_is_waited_for(store, tmp_path, monkeypatch):
    monkeypatch.setattr(ClipLoader, "__iter__", slowly(ClipLoader.__iter__, 0.05))
    toy_run(toy_recipe(store, epochs=1), tmp_path / "run")
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    steps = [line for line in map(json.loads, text.splitlines()) if line["kind"] == "step"]
    assert steps[-1]["seconds"] > STEPS_PER_EPOCH * 0.05
    assert max(line["clips_per_second"] for line in steps) < 8 / 0.05


def slowly(iterate, seconds):
    def slow(loader):
        for batch in iterate(loader):
            time.sleep(seconds)
            yield batch

    return slow


def test_a_step_whose_gradient_overflowed_counts_for_nothing():
    progress = RunProgress()
    progress.add({"loss": 1.0, "gradient_norm": float("inf")}, seconds=1.0)
    assert progress.line_sums == {}
    assert progress.overflows == 1


@pytest.fixture(scope="module")
def two_ranks(store, tmp_path_factory):
    """What two processes together have judged, and trained."""
    folder = tmp_path_factory.mktemp("ranks")
    in_ranks(2, judge_and_train, str(store), str(folder))
    return folder


def judge_and_train(ranks, store: str, out: str) -> None:
    folder, flow = Path(out), ToyFlow(toy_recipe(Path(store)))
    flow.clips.part[flow.clips.rows("validation")[9:]] = "unused"
    model = flow.make_model()[0].eval()
    table = judge_part(flow, model, "validation", ranks=ranks)
    table.drop(columns="logits").to_csv(folder / f"judged-{ranks.rank}.csv", index=False)
    (folder / f"batches-{ranks.rank}.txt").write_text(str(flow.batches))
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as spoken,
    ):
        # the ranks have met already
        patch.setattr(loop, "joined", lambda settings: contextlib.nullcontext(ranks))
        toy_run(toy_recipe(Path(store), changes={}), folder / "run")
    (folder / f"spoken-{ranks.rank}.txt").write_text(spoken.getvalue())


@pytest.mark.slow
def test_two_ranks_judge_each_clip_once(store, two_ranks):
    """Nine clips in batches of eight: one rank has five of them, the other four."""
    tables = [pd.read_csv(two_ranks / f"judged-{rank}.csv") for rank in (0, 1)]
    expected = ToyFlow(toy_recipe(store)).clips.rows("validation")[:9]
    assert tables[0]["clip"].tolist() == expected.tolist()
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert [(two_ranks / f"batches-{rank}.txt").read_text() for rank in (0, 1)] == ["1", "1"]


@pytest.mark.slow
def test_two_ranks_train_as_one(store, two_ranks, tmp_path):
    toy_run(toy_recipe(store, changes={}), tmp_path / "run")
    one, two = lines(tmp_path / "run"), lines(two_ranks / "run")
    assert [line["step"] for line in one] == [line["step"] for line in two]
    np.testing.assert_allclose(
        [line["loss"] for line in one], [line["loss"] for line in two], rtol=1e-5
    )


@pytest.mark.slow
def test_only_rank_0_speaks(two_ranks):
    assert (two_ranks / "spoken-1.txt").read_text() == ""
    assert "written to" in (two_ranks / "spoken-0.txt").read_text()
