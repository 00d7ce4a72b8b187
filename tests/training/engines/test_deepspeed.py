import sys
from importlib.util import find_spec

import pytest
import torch
from engine_runs import (
    DEEPSPEED,
    STEM_RECIPES,
    engine_for,
    in_ranks,
    kind_of,
    make_recipe,
    mean_losses,
    recorded,
    take_deepspeed_steps,
    take_steps,
    take_steps_with_stems,
)
from safetensors.torch import load_file

from medicane_models.errors import CheckpointError, ConfigurationError, MissingExtraError
from medicane_models.network.auto import AutoMedicaneModel
from medicane_training.engines.deepspeed import deepspeed_config
from medicane_training.ranks import Ranks

PAIR = Ranks(rank=0, local_rank=0, world_size=2)
DDP_RECIPE = make_recipe()
CLOSE = dict.fromkeys(DEEPSPEED, 2e-5) | {"bf16": 0.01, "frozen": 0.01}


def plain(name):
    """The recipe without DeepSpeed, and its engine."""
    recipe = DEEPSPEED[name]
    recipe = make_recipe(
        {"precision": recipe.engine.precision},
        {"accumulation": recipe.training.accumulation, "ema_decay": recipe.training.ema_decay},
    )
    return recipe, engine_for(recipe, **kind_of(name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each recipe in two processes that exchange over gloo."""
    if find_spec("deepspeed") is None:  # importing it takes seconds and warns
        pytest.skip("no DeepSpeed")
    folder = tmp_path_factory.mktemp("deepspeed")
    in_ranks(2, take_deepspeed_steps, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEPSPEED)
class TestEachStage:
    def test_trains_as_one_process_without_it(self, runs, name):
        recipe, engine = plain(name)
        losses, norms = take_steps(engine, recipe, 0, 4)
        ours = [*mean_losses(runs / name, "first"), *mean_losses(runs / name, "last")]
        assert torch.stack(ours).tolist() == pytest.approx(losses, abs=CLOSE[name])
        for rank in (0, 1):
            first, last = (recorded(runs / name, part, rank)[1] for part in ("first", "last"))
            assert first + last == pytest.approx(norms, rel=10 * CLOSE[name])

    def test_goes_on_from_a_checkpoint_bit_for_bit(self, runs, name):
        for rank in (0, 1):
            assert recorded(runs / name, "again", rank) == recorded(runs / name, "last", rank)

    def test_saves_the_whole_model(self, runs, name):
        recipe, engine = plain(name)
        take_steps(engine, recipe, 0, 2)
        folder = runs / name / "checkpoint"
        expected = engine.model.state_dict()
        for tensor, value in AutoMedicaneModel.from_pretrained(folder).state_dict().items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, expected[tensor], atol=CLOSE[name], rtol=0)
        assert not list(folder.glob("*.py"))

    def test_evaluates_the_whole_model_on_every_rank(self, runs, name):
        recipe, engine = plain(name)
        take_steps(engine, recipe, 0, 4)
        with engine.evaluated() as model:
            for rank in (0, 1):
                evaluated = recorded(runs / name, "evaluated", rank)
                for tensor, value in model.state_dict().items():
                    torch.testing.assert_close(evaluated[tensor], value, atol=CLOSE[name], rtol=0)


@pytest.mark.slow
def test_a_frozen_backbone_keeps_its_names_types_and_values(runs):
    saved = load_file(runs / "frozen" / "checkpoint" / "model.safetensors")
    started = plain("frozen")[1].model.state_dict()
    assert saved.keys() == started.keys()
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    learned = {name for name, tensor in saved.items() if not torch.equal(tensor, started[name])}
    assert learned == {"head.weight", "head.bias"}


@pytest.mark.slow
def test_nothing_is_printed(runs):
    for rank in (0, 1):
        assert (runs / f"printed-{rank}").read_text() == ""


@pytest.mark.slow
def test_the_running_mean_is_saved(runs):
    folder = runs / "ema" / "checkpoint"
    ema, model = (load_file(folder / f"{name}.safetensors") for name in ("ema", "model"))
    assert set(ema) == set(model)
    assert not torch.equal(ema["head.weight"], model["head.weight"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stage1", "zero_stage 1 and the recipe says 2"),
        ("more-ranks", "cannot go on with 2; start 3"),
        ("no-files", "files are missing"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(runs, name, told):
    for rank in (0, 1):
        assert told in recorded(runs, f"refused-{name}", rank)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_by_all_ranks(runs):
    assert "cannot be read by another rank" in recorded(runs, "refused-damaged", 0)
    assert "cannot be read" in recorded(runs, "refused-damaged", 1)


@pytest.mark.slow
def test_without_deepspeed_its_checkpoints_are_refused(runs):
    engine = engine_for(DDP_RECIPE)
    with pytest.raises(CheckpointError, match="written by DeepSpeed"):
        engine.load(runs / "stage1" / "checkpoint")


def zero(stage=None, training=None, **engine):
    return make_recipe({"backend": "deepspeed", "zero_stage": stage, **engine}, training)


def test_the_configuration_is_the_recipes():
    recipe = zero(2, {"accumulation": 2}, precision="bf16")
    config = deepspeed_config(recipe, PAIR)
    assert config["train_batch_size"] == 8
    assert config["train_micro_batch_size_per_gpu"] == 2
    assert config["gradient_accumulation_steps"] == 2
    assert config["gradient_clipping"] == 1.0
    assert config["zero_optimization"]["stage"] == 2
    assert config["torch_autocast"]["dtype"] == "bfloat16"


def test_the_stage_is_1_if_none_is_given():
    assert deepspeed_config(zero(), PAIR)["zero_optimization"]["stage"] == 1


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (zero(1, precision="fp16"), "engine.precision is fp16"),
        (zero(1, compile=True), r"engine\.compile"),
        (zero(3, {"ema_decay": 0.9}), r"zero_stage to 2"),
        (zero(1, {"accumulation": 8}), "a multiple of 16"),
    ],
)
def test_what_it_cannot_do_is_refused(recipe, told):
    with pytest.raises(ConfigurationError, match=told):
        deepspeed_config(recipe, PAIR)


def test_without_deepspeed_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    with pytest.raises(MissingExtraError, match=r'pip install "medicane-models\[deepspeed\]"'):
        engine_for(zero(1))


def test_deepspeed_stays_unimported_otherwise():
    engine_for(DDP_RECIPE)
    assert "deepspeed" not in sys.modules


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    """Models with running statistics, of which each of two processes has its own in a step."""
    if find_spec("deepspeed") is None:
        pytest.skip("no DeepSpeed")
    folder = tmp_path_factory.mktemp("stems")
    in_ranks(2, take_steps_with_stems, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", STEM_RECIPES)
class TestStems:
    def test_all_ranks_have_the_statistics_that_are_saved(self, stems, name):
        saved = load_file(stems / name / "checkpoint" / "model.safetensors")
        first, other = (recorded(stems / name, "state", rank) for rank in (0, 1))
        assert first
        for tensor, value in first.items():
            assert torch.equal(value, other[tensor])
            assert torch.equal(value, saved[tensor])
            assert not torch.equal(value, torch.full_like(value, value.flatten()[0]))

    def test_all_ranks_judge_with_the_same_statistics(self, stems, name):
        first, other = (recorded(stems / name, "evaluated", rank) for rank in (0, 1))
        assert all(torch.equal(value, other[tensor]) for tensor, value in first.items())

    def test_goes_on_from_a_checkpoint_bit_for_bit(self, stems, name):
        for rank in (0, 1):
            assert recorded(stems / name, "again", rank) == recorded(stems / name, "last", rank)
