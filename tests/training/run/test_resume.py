import multiprocessing
import shutil
import signal
import time

import pytest
from clip_stores import small_store
from toy_runs import (
    ToyFlow,
    killed_run,
    lengthened,
    lines,
    names,
    same_weights,
    signalled_group,
    toy_recipe,
    toy_run,
)

from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MedicaneError,
    MissingExtraError,
)
from medicane_training.engines.plain import PlainEngine
from medicane_training.interrupts import InterruptedRunError
from medicane_training.run import journal
from medicane_training.run.checkpoint import newest_sound, read_progress

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["medicane_training.run.loop", "medicane_training.store.build", "pytest"]
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("resume") / "s.zarr").path


@pytest.fixture(scope="module")
def recipe(store):
    return toy_recipe(store, ema_decay=0.9)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "run"
    toy_run(recipe, out)
    return out


def interrupted(recipe, out, number=signal.SIGTERM, **when):
    """A run that a signal ends; how it ended."""
    flow = ToyFlow(recipe, **{name: {at: number} for name, at in when.items()})
    with pytest.raises(InterruptedRunError) as caught:
        toy_run(recipe, out, flow=flow)
    return caught.value


@pytest.mark.parametrize("step", [0, 3, 6, 11])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(recipe, whole, tmp_path, step):
    """In the first step, in the last of an epoch, inside one, in the very last."""
    out = tmp_path / "run"
    interrupted(recipe, out, events=step)
    toy_run(recipe, out)
    assert lines(out) == lines(whole)
    assert same_weights(out, whole)


@pytest.mark.parametrize("batch", [2, 35])
def test_a_run_interrupted_in_evaluation_ends_like_another(recipe, whole, tmp_path, batch):
    """In the first of its validations, and when the chosen model is judged at the end."""
    out = tmp_path / "run"
    interrupted(recipe, out, judged=batch)
    assert not (out / "scores.json").exists()
    toy_run(recipe, out)
    assert lines(out) == lines(whole)
    assert same_weights(out, whole)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 99), (signal.SIGUSR1, 99), (signal.SIGINT, 130)]
)
def test_a_signal_saves_the_step_and_asks_for_more(recipe, tmp_path, number, code):
    error = interrupted(recipe, tmp_path / "run", number, events=4)
    assert error.exit_code == code
    assert "step 5 is saved" in str(error)
    newest = newest_sound(tmp_path / "run" / "checkpoints", print)
    assert newest is not None
    assert read_progress(newest).step == 5


@pytest.mark.slow
def test_a_run_killed_at_any_point_ends_like_another(recipe, whole, store, tmp_path):
    out = tmp_path / "run"
    for count in (3, 8, 12):
        process = CONTEXT.Process(target=killed_run, args=(str(store), str(out)))
        process.start()
        until_lines(out / "metrics.jsonl", count, process)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    toy_run(recipe, out)
    assert lines(out) == lines(whole)
    assert same_weights(out, whole)


def until_lines(path, count, process):
    while process.is_alive():
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_a_signal_to_the_whole_group_spares_the_processes_that_read(store, tmp_path):
    """As schedulers send it."""
    process = CONTEXT.Process(target=signalled_group, args=(str(store), str(tmp_path / "run")))
    process.start()
    process.join()
    assert process.exitcode == 99
    assert names(tmp_path / "run" / "checkpoints")[-1] == "step-00000004"


def test_a_damaged_newest_checkpoint_falls_back_by_name(recipe, whole, tmp_path, caplog):
    out = tmp_path / "run"
    interrupted(recipe, out, events=8)
    newest = out / "checkpoints" / "step-00000009" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level("INFO"):
        toy_run(recipe, out)
    assert "step-00000009 is damaged (model.safetensors is of another size)" in caplog.text
    assert "going on from" in caplog.text
    assert "step-00000008" in caplog.text
    assert lines(out) == lines(whole)
    assert same_weights(out, whole)


def test_another_recipe_in_the_folder_is_refused_by_the_setting(recipe, tmp_path):
    out = tmp_path / "run"
    interrupted(recipe, out, events=4)
    with pytest.raises(ConfigurationError, match=r"training\.epochs is 5, the run has 3"):
        toy_run(lengthened(recipe, 5), out)


def test_a_finished_run_stays_what_it_is_without_its_checkpoints(recipe, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    before = (out / "run.yaml").read_text()
    with pytest.raises(ConfigurationError, match=r"training\.epochs is 5, the run has 3"):
        toy_run(lengthened(recipe, 5), out)
    toy_run(recipe, out)
    assert (out / "run.yaml").read_text() == before


def test_settings_that_change_no_result_may_change(recipe, store, whole, tmp_path):
    out = tmp_path / "run"
    interrupted(recipe, out, events=4)
    toy_run(toy_recipe(store, ema_decay=0.9, keep=1, save_every_steps=5), out)
    assert same_weights(out, whole)


def test_none_refuses_a_folder_that_holds_a_run(recipe, tmp_path):
    out = tmp_path / "run"
    interrupted(recipe, out, events=4)
    with pytest.raises(ConfigurationError, match="--resume auto"):
        toy_run(recipe, out, resume="none")


def test_a_model_that_no_run_wrote_is_not_written_over(recipe, tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigurationError, match="choose another --out"):
        toy_run(recipe, tmp_path)
    assert names(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("source", ["run", "run/checkpoints/step-00000008"])
def test_a_run_goes_on_from_another_ones_folder(recipe, whole, tmp_path, source):
    interrupted(recipe, tmp_path / "run", events=8)
    before = names(tmp_path / "run", "**/*")
    out = tmp_path / "next"
    toy_run(recipe, out, resume=str(tmp_path / source))
    assert lines(out) == lines(whole)
    assert same_weights(out, whole)
    assert names(tmp_path / "run", "**/*") == before


def test_a_longer_run_goes_on_from_a_finished_one(recipe, whole, tmp_path):
    out = tmp_path / "next"
    toy_run(lengthened(recipe, 4), out, resume=str(whole))
    assert lines(out)[: len(lines(whole))] == lines(whole)
    assert lines(out)[-1]["step"] == 16


def test_a_folder_without_checkpoints_cannot_be_resumed(recipe, tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        toy_run(recipe, tmp_path / "run", resume=str(tmp_path))


def refuse_the_model(recipe, store, monkeypatch):
    return {"recipe": toy_recipe(store, changes={"drop_path_rate": 2.0})}


def refuse_the_journal(recipe, store, monkeypatch):
    def absent(module, extra):
        raise MissingExtraError(module)

    monkeypatch.setattr(journal, "require", absent)
    return {"recipe": recipe}


def refuse_the_checkpoint(recipe, store, monkeypatch):
    def refuse(engine, checkpoint):
        raise CheckpointError(f"{checkpoint} is of another model")

    toy_run(recipe, store.parent / "other")
    monkeypatch.setattr(PlainEngine, "load", refuse)
    return {"recipe": recipe, "resume": str(store.parent / "other")}


@pytest.mark.parametrize("place", ["run", "."])
@pytest.mark.parametrize("refusal", [refuse_the_model, refuse_the_journal, refuse_the_checkpoint])
def test_a_refused_run_leaves_nothing_behind(recipe, store, tmp_path, monkeypatch, refusal, place):
    with pytest.MonkeyPatch.context() as patch:
        options = refusal(recipe, store, patch)
        with pytest.raises(MedicaneError):
            toy_run(options.pop("recipe"), tmp_path / place, **options)
    assert names(tmp_path) == []


def test_a_finished_run_is_left_alone(recipe, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    flow = toy_run(recipe, out)
    assert flow.batches == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
