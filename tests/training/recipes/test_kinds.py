import sys
from dataclasses import fields

import pytest
import torch

from medicane_models.errors import ConfigurationError
from medicane_models.network.auto import model_class
from medicane_models.network.averaging import average_classification, average_tracking
from medicane_models.network.configuration import MedicaneConfig
from medicane_training.recipes.data_sections import DataSettings, SplitSettings
from medicane_training.recipes.kinds import (
    ClassificationRecipe,
    SpecializationRecipe,
    TrackingRecipe,
)
from medicane_training.recipes.model_fields import FREE
from medicane_training.recipes.sections import (
    ClassificationSettings,
    EngineSettings,
    MaskingSettings,
    ModelSettings,
    OptimizerSettings,
    TrainingSettings,
)

LR = OptimizerSettings(lr=1e-3)
BATCH = TrainingSettings(epochs=2, global_batch=4)

DECIDED = {
    "task", "image_size", "num_frames", "in_channels", "pixel_std", "temperature", "threshold",
    "trained_on", "data_kind", "error_covariance_px", "position_grid",
}  # fmt: skip
"""Fields that follow from the store, or that training finds out."""


def recipe(kind, *, changes=None, **more):
    sections = {"model": ModelSettings(preset="tiny", changes=changes or {}), "optimizer": LR}
    return kind(**{"data": DataSettings(store="s"), "training": BATCH, **sections, **more})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelSettings(preset="tiny", init="m"), "set one of them to null"),
        (lambda: SplitSettings(by="dates"), "by dates needs test_from, validation_from"),
        (lambda: SplitSettings(by="storm", folds=3), "by storm does not read folds"),
        (lambda: SplitSettings(by="file", file="f", guard_hours=3.0), "not read guard_hours"),
        (lambda: SplitSettings(by="storm", seed=-1), "data.split.seed is -1; give at least 0"),
        (lambda: DataSettings(store="s", samples=3), "belong to data.order balanced"),
        (lambda: DataSettings(store="s", order="balanced", samples=0), "data.samples is 0"),
        (lambda: DataSettings(store="s", augmentation=None, num_views=2), "would be alike"),
        (lambda: OptimizerSettings(), "give one of the two"),
        (lambda: OptimizerSettings(lr=1.0, lr_per_256=1.0), "give one of the two"),
        (lambda: OptimizerSettings(lr=0.0), "optimizer.lr is 0.0; give more than 0"),
        (lambda: OptimizerSettings(lr=1.0, schedule="constant", final_lr=0.1), "to the cosine"),
        (lambda: OptimizerSettings(lr=1.0, warmup_start_lr=0.1), "needs warmup_epochs above 0"),
        (lambda: OptimizerSettings(lr=1.0, warmup_epochs=1, warmup="power"), "a warmup_start_lr"),
        (lambda: OptimizerSettings(lr=1.0, layer_decay=1.5), "layer_decay is 1.5"),
        (lambda: EngineSettings(zero_stage=1), "zero_stage is 1 and the backend ddp"),
        (lambda: TrainingSettings(epochs=0, global_batch=1), "training.epochs is 0"),
        (lambda: TrainingSettings(epochs=1, global_batch=1, patience=0), "patience is 0"),
        (lambda: TrainingSettings(epochs=1, global_batch=1, save_every_steps=0), "steps is 0"),
        (lambda: TrainingSettings(epochs=1, global_batch=6, accumulation=4), "in 4 equal parts"),
        (lambda: TrainingSettings(epochs=1, global_batch=1, ema_decay=1.0), "ema_decay is 1.0"),
        (lambda: TrainingSettings(epochs=1, global_batch=1, roll_backs=2), "to training.non_fini"),
        (lambda: MaskingSettings(encoder=1.0), "masking.encoder is 1.0"),
        (lambda: ClassificationSettings(class_weights=(1.0,)), "has 1 numbers for 2 classes"),
        (lambda: ClassificationSettings(class_weights=(1.0, 0.0)), "give one above 0 a class"),
        (lambda: ClassificationSettings(deployment_rate=1.0), "deployment_rate is 1.0"),
    ],
)
def test_settings_that_cannot_be_or_that_nothing_reads_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: recipe(TrackingRecipe, optimizer=OptimizerSettings(lr=1.0, warmup_epochs=3)),
            "warmup_epochs is 3 and training.epochs 2",
        ),
        (
            lambda: recipe(
                ClassificationRecipe,
                optimizer=OptimizerSettings(lr=1.0, layer_decay=0.5),
                classification=ClassificationSettings(train="head"),
            ),
            "set layer_decay to 1, or train all",
        ),
        (
            lambda: recipe(
                ClassificationRecipe,
                engine=EngineSettings(gradient_checkpointing=True),
                classification=ClassificationSettings(train="head"),
            ),
            "gradient_checkpointing saves nothing",
        ),
        (
            lambda: recipe(SpecializationRecipe, changes={"decoder_dept": 2}),
            r"changes.decoder_dept means nothing for pretraining \(did you mean decoder_depth\?\)",
        ),
        (
            lambda: recipe(TrackingRecipe, changes={"head": "regression", "heatmap_stride": 2}),
            "sets heatmap_stride, which the regression head does not read",
        ),
        (
            lambda: recipe(TrackingRecipe, changes={"center_scale_px": (1.0, 1.0)}),
            "sets center_scale_px, which the heatmap head does not read",
        ),
    ],
)
def test_sections_that_do_not_go_together_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_the_head_of_an_initial_model_is_not_guessed():
    changes = {"center_scale_px": (1.0, 1.0)}
    model = ModelSettings(init="some/run", changes=changes)
    assert recipe(TrackingRecipe, model=model).model.changes == changes


def test_the_learning_rate_follows_the_global_batch():
    assert OptimizerSettings(lr_per_256=1e-3).highest_lr(96) == pytest.approx(3.75e-4)
    assert OptimizerSettings(lr=1e-4).highest_lr(96) == 1e-4


@pytest.fixture
def fields_read(monkeypatch):
    """The fields of configurations that models read, not those that the configuration checks."""
    names, found = {item.name for item in fields(MedicaneConfig)}, set()

    def noting(self, name):
        caller = sys._getframe(1)
        while caller.f_code.co_name in ("<dictcomp>", "<genexpr>"):
            caller = caller.f_back
        own = caller.f_code.co_name
        if name in names and not own.startswith(("_check", "check_", "_fields", "__post_init__")):
            found.add(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(MedicaneConfig, "__getattribute__", noting)
    return found


@pytest.mark.parametrize("task", ["pretraining", "classification", "tracking"])
def test_recipes_may_change_the_fields_that_the_model_reads(task, fields_read):
    small = {"embed_dim": 48, "depth": 1, "decoder_depth": 1, "image_size": 32, "num_frames": 4}
    for kind in ({"head": "regression"}, {"head": "heatmap"}, {"stem": "residual"}):
        config = MedicaneConfig.preset("tiny", task=task, **kind, **small)
        model = model_class(task)(config).eval()
        clip = torch.zeros(1, 4, 3, 32, 32)
        hidden = torch.arange(8)[None] < 4
        predict = {"classification": average_classification, "tracking": average_tracking}
        model(clip, hidden) if task == "pretraining" else predict[task](model, clip)
    assert fields_read - DECIDED == set(FREE[task])
