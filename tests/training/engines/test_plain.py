import math

import pytest
import torch
from engine_runs import (
    ALONE,
    DDP,
    STEM,
    add_gradients,
    draw,
    engine_for,
    in_ranks,
    make_recipe,
    mean_losses,
    rates_of,
    recorded,
    state_of,
    take_ddp_steps,
    take_steps,
    tiny_model,
)
from safetensors.torch import load_file

from medicane_models.errors import CheckpointError
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_training.engines.plain import PlainEngine

DROPOUT = {"drop_path_rate": 0.2, "head_drop_rate": 0.2}


def assert_same(ours, theirs):
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_a_step_is_adamw_on_the_clipped_gradient():
    recipe = make_recipe(warmup_epochs=0, layer_decay=1.0, clip_norm=0.1, weight_decay=0.2)
    engine, model = engine_for(recipe), tiny_model()
    matrices = [value for value in model.parameters() if value.ndim > 1]
    vectors = [value for value in model.parameters() if value.ndim == 1]
    groups = [{"params": vectors, "weight_decay": 0.0}, {"params": matrices, "weight_decay": 0.2}]
    reference = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    add_gradients(engine, recipe, 0)
    norm = engine.gradient_norm()
    engine.step(0)
    clips, labels = draw(0)
    model(clips, labels=labels).loss.backward()
    expected = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    reference.step()
    assert norm == pytest.approx(expected.item())
    assert expected > 0.1
    for name, value in model.named_parameters():
        torch.testing.assert_close(engine.model.state_dict()[name], value.detach())


def test_parts_of_a_step_give_the_gradient_of_the_whole():
    whole, halves = make_recipe(), make_recipe(training={"accumulation": 4})
    losses, norms = take_steps(engine_for(whole), whole, 0, 3)
    in_parts = take_steps(engine_for(halves), halves, 0, 3)
    assert in_parts[0] == pytest.approx(losses, abs=1e-6)
    assert in_parts[1] == pytest.approx(norms, rel=1e-4)


def test_a_step_that_ends_too_early_is_a_mistake():
    engine = engine_for(make_recipe(training={"accumulation": 2}))
    with pytest.raises(RuntimeError, match="part 0"):
        engine.backward(torch.zeros((), requires_grad=True), last=True)


def test_skipped_gradients_leave_no_trace():
    recipe = make_recipe({"precision": "fp16"}, {"accumulation": 2})
    engine, other = engine_for(recipe), engine_for(recipe)
    add_gradients(engine, recipe, 7)
    engine.gradient_norm()
    engine.skip()
    assert take_steps(engine, recipe, 0, 2) == take_steps(other, recipe, 0, 2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_parameters_stay_float32_in_mixed_precision(precision):
    recipe = make_recipe({"precision": precision})
    engine = engine_for(recipe)
    losses, norms = take_steps(engine, recipe, 0, 5)
    exact, exact_norms = take_steps(engine_for(make_recipe()), make_recipe(), 0, 5)
    assert losses != exact
    assert losses == pytest.approx(exact, abs=0.01)
    assert norms == pytest.approx(exact_norms, rel=0.05)
    assert {value.dtype for value in engine.model.parameters()} == {torch.float32}


def test_fp16_overflow_leaves_the_weights_and_lowers_the_scale():
    recipe = make_recipe({"precision": "fp16"})
    engine = engine_for(recipe)
    before = state_of(engine)
    engine.backward(next(engine.model.parameters()).sum() * 1e38, last=True)
    assert not math.isfinite(engine.gradient_norm())
    engine.step(0)
    assert_same(engine.model.state_dict(), before)
    assert take_steps(engine, recipe, 1, 3)[1] == pytest.approx(
        take_steps(engine_for(recipe), recipe, 1, 3)[1], rel=0.01
    )


def test_checkpointed_gradients_are_the_same():
    plain, saving = make_recipe(), make_recipe({"gradient_checkpointing": True})
    engine = engine_for(saving)
    assert engine.model.grad_checkpointing
    assert take_steps(engine, saving, 0, 3) == take_steps(engine_for(plain), plain, 0, 3)


@pytest.mark.parametrize("kind", [{}, STEM], ids=["patches", "stem"])
def test_the_running_mean_is_evaluated(kind):
    recipe = make_recipe(training={"ema_decay": 0.5})
    engine = engine_for(recipe, **kind)
    expected = state_of(engine)
    for number in range(3):
        take_steps(engine, recipe, number, number + 1)
        kept = min(0.5, 1 - (1 + number) ** (-2 / 3))  # 0, 0.37, 0.5
        expected = {
            name: kept * expected[name] + (1 - kept) * value if value.is_floating_point() else value
            for name, value in state_of(engine).items()
        }
    with engine.evaluated() as model:
        assert not model.training
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, expected[name])


def test_evaluation_leaves_every_module_in_its_mode():
    engine = engine_for(make_recipe())
    engine.model.blocks[0].eval()
    before = [module.training for module in engine.model.modules()]
    with engine.evaluated() as model:
        assert not any(module.training for module in model.modules())
    assert [module.training for module in engine.model.modules()] == before


@pytest.mark.parametrize("kind", [{}, STEM], ids=["patches", "stem"])
def test_a_frozen_backbone_stays_as_it_is(kind):
    recipe = make_recipe()
    model = tiny_model(drop_path_rate=0.5, **kind)
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    engine = PlainEngine(model, recipe, ALONE, rates_of(recipe))
    before = state_of(engine)
    take_steps(engine, recipe, 0, 2)
    changed = {name for name, value in state_of(engine).items() if not value.equal(before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert not model.blocks[0].training


def test_the_rates_in_use_are_told():
    recipe = make_recipe(weight_decay=0.3)
    engine = engine_for(recipe)
    take_steps(engine, recipe, 0, 2)
    assert engine.rates() == pytest.approx({"lr": 1e-2 / 4, "weight_decay": 0.3})


@pytest.mark.parametrize("kind", [DROPOUT, STEM], ids=["dropout", "stem"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path, precision, kind):
    recipe = make_recipe({"precision": precision}, {"accumulation": 2, "ema_decay": 0.9})
    engine = engine_for(recipe, **kind)
    take_steps(engine, recipe, 0, 2)
    engine.save(tmp_path)
    losses = take_steps(engine, recipe, 2, 5)
    torch.rand(7)
    resumed = engine_for(recipe, seed=9, **kind)
    assert resumed.load(tmp_path) is None
    assert take_steps(resumed, recipe, 2, 5) == losses
    assert_same(resumed.model.state_dict(), engine.model.state_dict())
    with engine.evaluated() as ours, resumed.evaluated() as theirs:
        assert_same(theirs.state_dict(), ours.state_dict())


def test_a_checkpoint_is_a_model_that_opens(tmp_path):
    engine = engine_for(make_recipe(training={"ema_decay": 0.9}))
    engine.save(tmp_path)
    model = MedicaneForVideoClassification.from_pretrained(tmp_path)
    assert_same(model.state_dict(), engine.model.state_dict())
    assert_same(load_file(tmp_path / "ema.safetensors"), engine.model.state_dict())


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "state-rank0.pt"])
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(tmp_path, name):
    recipe = make_recipe(training={"ema_decay": 0.9})
    engine_for(recipe).save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:1000])
    engine = engine_for(recipe, seed=9)
    before = state_of(engine)
    with pytest.raises(CheckpointError, match=name):
        engine.load(tmp_path)
    assert_same(engine.model.state_dict(), before)


def test_an_optimiser_of_other_groups_is_refused(tmp_path):
    engine_for(make_recipe()).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"run\.yaml"):
        engine_for(make_recipe(layer_decay=1.0)).load(tmp_path)


def test_a_checkpoint_of_more_ranks_says_what_changes(tmp_path):
    recipe = make_recipe()
    engine_for(recipe).save(tmp_path)
    state = torch.load(tmp_path / "state-rank0.pt", weights_only=True)
    torch.save(state | {"world_size": 4}, tmp_path / "state-rank0.pt")
    assert "4 processes and 1 go on" in engine_for(recipe).load(tmp_path)


@pytest.fixture(scope="module")
def ddp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    in_ranks(2, take_ddp_steps, folder)
    return folder


@pytest.mark.parametrize("name", DDP)
def test_two_ranks_train_as_one_process_does(ddp, name):
    losses, norms = take_steps(engine_for(DDP[name]), DDP[name], 0, 6)
    assert mean_losses(ddp, name).tolist() == pytest.approx(losses, abs=1e-5)
    for rank in (0, 1):
        assert recorded(ddp, name, rank)[1] == pytest.approx(norms, rel=1e-3)


@pytest.mark.parametrize("name", DDP)
def test_two_ranks_keep_equal_weights(ddp, name):
    assert_same(recorded(ddp, f"{name}-state", 1), recorded(ddp, f"{name}-state", 0))


def test_two_ranks_resume_bit_for_bit(ddp):
    for rank in (0, 1):
        assert recorded(ddp, "again", rank) == recorded(ddp, "without a break", rank)
        assert_same(recorded(ddp, "again-state", rank), recorded(ddp, "unbroken-state", rank))


def test_one_process_goes_on_from_two_ranks(ddp):
    recipe = DDP["parts"]
    engine = engine_for(recipe)
    assert "2 processes and 1 go on" in engine.load(ddp / "parts-checkpoint")
    losses, _ = take_steps(engine, recipe, 6, 8)
    assert mean_losses(ddp, "parts-later").tolist() == pytest.approx(losses, abs=1e-5)


def test_reading_fails_on_all_ranks_or_on_none(ddp):
    assert "state-rank1.pt" in recorded(ddp, "failure", 1)
    assert "another rank" in recorded(ddp, "failure", 0)


def test_ranks_draw_differently(ddp):
    assert recorded(ddp, "drawn", 0) != recorded(ddp, "drawn", 1)


def test_nothing_is_exchanged_before_the_last_part(ddp):
    one, other = (recorded(ddp, "partial", rank) for rank in (0, 1))
    assert not torch.equal(one, other)
