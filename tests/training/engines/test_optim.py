import math

import numpy as np
import pytest
import torch
from engine_runs import tiny_model
from timm.optim import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler

from medicane_models.errors import ConfigurationError
from medicane_training.engines.optim import Rates, apply, make_optimizer
from medicane_training.recipes.sections import OptimizerSettings


def settings(**fields):
    return OptimizerSettings(**{"lr": 1e-3, **fields})


def by_name(model, optimizer):
    """The group of each parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: group
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_vectors_and_biases_do_not_decay():
    model = tiny_model()
    groups = by_name(model, make_optimizer(model, settings(weight_decay=0.3), 1e-3))
    for name, parameter in model.named_parameters():
        assert groups[name]["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0), name


def test_names_of_the_model_do_not_decay():
    model = tiny_model("pretraining")
    groups = by_name(model, make_optimizer(model, settings(), 1e-3))
    assert model.mask_token.ndim > 1
    assert groups["mask_token"]["weight_decay"] == 0


@pytest.mark.parametrize(
    ("task", "layers"),
    [
        (
            "classification",
            {
                "patch_embed.proj.weight": 0,
                "blocks.0.mlp.fc1.weight": 1,
                "blocks.1.norm1.bias": 2,
                "fc_norm.weight": 3,
                "head.weight": 3,
            },
        ),
        (
            "pretraining",
            {
                "encoder.patch_embed.proj.bias": 0,
                "encoder.blocks.1.attn.proj.weight": 2,
                "encoder.norm.weight": 3,
                "mask_token": 3,
                "encoder_to_decoder.weight": 3,
                "decoder.blocks.0.mlp.fc1.weight": 3,
                "decoder.head.bias": 3,
            },
        ),
    ],
)
def test_layer_decay_has_its_closed_form(task, layers):
    model = tiny_model(task)
    groups = by_name(model, make_optimizer(model, settings(layer_decay=0.75), 1e-3))
    depth = model.config.depth
    for name, layer in layers.items():
        assert groups[name]["lr_scale"] == pytest.approx(0.75 ** (depth + 1 - layer)), name


def test_groups_are_timms():
    model = tiny_model()
    ours = make_optimizer(model, settings(layer_decay=0.5, weight_decay=0.1), 1e-3).param_groups
    theirs = param_groups_layer_decay(model, weight_decay=0.1, layer_decay=0.5)
    for our, their in zip(ours, theirs, strict=True):
        assert [id(p) for p in our["params"]] == [id(p) for p in their["params"]]
        assert (our["lr_scale"], our["weight_decay"]) == (their["lr_scale"], their["weight_decay"])


def test_frozen_parameters_are_left_out():
    model = tiny_model()
    model.blocks.requires_grad_(False)
    names = by_name(model, make_optimizer(model, settings(layer_decay=0.5), 1e-3))
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert set(names) == trained


def test_a_model_that_is_frozen_whole_is_refused():
    with pytest.raises(ConfigurationError, match="frozen"):
        make_optimizer(tiny_model().requires_grad_(False), settings(), 1e-3)


def test_the_optimiser_gets_its_settings():
    optimizer = make_optimizer(tiny_model(), settings(betas=(0.8, 0.7), eps=1e-5), 2e-3)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.8, 0.7)
    assert optimizer.defaults["eps"] == 1e-5
    assert optimizer.defaults["lr"] == 2e-3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "adamww"}, "adamw"),
        ({"name": "sgd", "eps": None}, "optimizer.betas to null"),
        ({"name": "sgd", "betas": None}, "optimizer.eps to null"),
        ({"name": "adahessian"}, "second derivatives"),
        ({"name": "adan"}, "3 betas"),
    ],
)
def test_what_the_optimiser_does_not_take_is_refused(fields, told):
    with pytest.raises(ConfigurationError, match=told):
        make_optimizer(tiny_model(), settings(**fields), 1e-3)


def test_other_optimisers_of_timm_step():
    model = tiny_model()
    optimizer = make_optimizer(model, settings(name="sgd", betas=None, eps=None), 1e-3)
    assert isinstance(optimizer, torch.optim.SGD)


def rates(steps_per_epoch=10, epochs=5, **fields):
    return Rates(settings(**fields), 1e-3, steps_per_epoch, epochs)


@pytest.mark.parametrize("start", [None, 1e-5])
def test_linear_warmup_and_cosine_are_timms(start):
    ours = rates(warmup_epochs=1.5, warmup_start_lr=start, final_lr=1e-6)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = CosineLRScheduler(
        optimizer,
        t_initial=35,
        lr_min=1e-6,
        warmup_t=15,
        warmup_lr_init=start or 0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    for step in range(50):
        theirs.step_update(step)
        assert ours.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12), step


def test_the_power_law_is_the_research_codes():
    ours = rates(warmup="power", warmup_epochs=2, warmup_start_lr=1e-6, final_lr=1e-7)
    exponent = math.log(1e-3 / 1e-6) / math.log(20)
    for x in range(1, 21):
        assert ours.lr(x - 1) == pytest.approx(1e-6 * x**exponent, rel=1e-12)
    assert ours.lr(0) == pytest.approx(1e-6)
    assert ours.lr(19) == pytest.approx(1e-3)
    cosine = [1e-7 + 0.5 * (1e-3 - 1e-7) * (1 + math.cos(math.pi * i / 30)) for i in range(30)]
    np.testing.assert_allclose([ours.lr(step) for step in range(20, 50)], cosine)


def test_a_warmup_of_one_step_starts_with_its_start():
    ours = rates(warmup="power", warmup_epochs=0.01, warmup_start_lr=1e-6)
    assert [ours.lr(0), ours.lr(1)] == [1e-6, 1e-3]


def test_a_constant_rate_stays():
    ours = rates(schedule="constant", warmup_epochs=1)
    assert {ours.lr(step) for step in range(10, 60)} == {1e-3}


def test_past_the_end_the_rate_is_the_final_one():
    assert rates(final_lr=1e-5).lr(80) == pytest.approx(1e-5)


def test_weight_decay_follows_a_cosine_over_all_steps():
    ours = rates(weight_decay=0.04, final_weight_decay=0.4, warmup_epochs=2)
    expected = [0.4 + 0.5 * (0.04 - 0.4) * (1 + math.cos(math.pi * i / 50)) for i in range(50)]
    np.testing.assert_allclose([ours.weight_decay(step) for step in range(50)], expected)


def test_weight_decay_without_an_end_stays():
    assert rates(weight_decay=0.3).weight_decay(17) == 0.3


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(ConfigurationError, match="warmup_epochs is 6"):
        rates(warmup_epochs=6)


def test_every_group_gets_its_rates():
    chosen = settings(layer_decay=0.5, weight_decay=0.0, final_weight_decay=0.4)
    model = tiny_model()
    optimizer = make_optimizer(model, chosen, 1e-3)
    ours = Rates(chosen, 1e-3, 10, 5)
    apply(optimizer, ours, 0)
    apply(optimizer, ours, 30)
    groups = by_name(model, optimizer)
    assert groups["head.weight"]["lr"] == ours.lr(30)
    assert groups["patch_embed.proj.weight"]["lr"] == pytest.approx(0.125 * ours.lr(30))
    assert groups["head.weight"]["weight_decay"] == ours.weight_decay(30) > 0
    assert groups["head.bias"]["weight_decay"] == 0
