"""Named recipes of the three flows: complete configurations, with the source of their values.

A recipe is a function of the path of the clip store. ``laptop`` is what a command takes unless told
otherwise. Recipes without a preset start from the flow before, by ``--init``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from medicane_training.recipes.kinds import (
    ClassificationRecipe,
    FlowName,
    Recipe,
    SpecializationRecipe,
    TrackingRecipe,
)
from medicane_training.recipes.sections import (
    Augmentation,
    ClassificationSettings,
    DataSettings,
    EngineSettings,
    MaskingSettings,
    ModelSettings,
    OptimizerSettings,
    TrackingSettings,
    TrainingSettings,
)

__all__ = ["DEFAULT_RECIPE", "RECIPES"]

DEFAULT_RECIPE = "laptop"

RESEARCH_ENGINE = EngineSettings(precision="bf16", gradient_checkpointing=True)
SHIFTED = Augmentation(
    angle_degrees=0.0, scale=(1.0, 1.0), gain=0.0, offset=0.0, drop_frames=0.0, block=0.0
)
"""Windows 40 to 100 pixels away that keep the centre inside, and nothing else."""

LAPTOP_SIZE: Mapping[str, Any] = {"tubelet_size": 4, "depth": 6}
TINY_SIZE: Mapping[str, Any] = {
    "tubelet_size": 4,
    "depth": 2,
    "embed_dim": 96,
    "mlp_hidden_dim": 384,
}
TINY_DECODER: Mapping[str, Any] = {
    "decoder_embed_dim": 48,
    "decoder_num_heads": 3,
    "decoder_mlp_hidden_dim": 192,
    "decoder_depth": 1,
}


def research_specialization(store: str) -> SpecializationRecipe:
    """The research run: ViT-g, 150 epochs of 96 clips a step, masks .75 and .5.

    It went on from the public ViT-g pretraining weights: give them with ``--init``. Learning rates
    are those after scaling by 96/256; the warm-up started from 1e-8, the cosine ended at 1e-6,
    before scaling (arguments.py of github.com/dandarm/VideoMAEv2). Clips were shown as they are,
    no-data included.
    """
    return SpecializationRecipe(
        model=ModelSettings(preset="giant", changes={"drop_path_rate": 0.1}),
        data=DataSettings(store=store, augmentation=None, workers=4),
        optimizer=OptimizerSettings(
            lr=3.75e-4,
            final_lr=3.75e-7,
            warmup_epochs=10,
            warmup="power",
            warmup_start_lr=3.75e-9,
            betas=(0.9, 0.95),
            weight_decay=0.05,
        ),
        training=TrainingSettings(epochs=150, global_batch=96),
        engine=RESEARCH_ENGINE,
        masking=MaskingSettings(encoder=0.75, decoder=0.5, avoid_no_data=False),
    )


def research_classification(store: str) -> ClassificationRecipe:
    """The research run: from the specialization, 500 epochs of 32 clips a step.

    Learning rates are those after scaling by 32/256, before which the warm-up started from 1e-8 and
    the cosine ended at 5e-8. Its layer decay was read by nothing, so there is none here.
    """
    return ClassificationRecipe(
        model=ModelSettings(changes={"drop_path_rate": 0.1}),
        data=DataSettings(store=store, augmentation=None, workers=4),
        optimizer=OptimizerSettings(
            lr=1.25e-7,
            final_lr=6.25e-9,
            warmup_epochs=100,
            warmup="power",
            warmup_start_lr=1.25e-9,
            betas=(0.9, 0.95),
            weight_decay=0.05,
        ),
        training=TrainingSettings(epochs=500, global_batch=32),
        engine=RESEARCH_ENGINE,
        classification=ClassificationSettings(
            label_smoothing=0.1, select_by="balanced_accuracy", threshold_for="balanced_accuracy"
        ),
    )


def research_tracking(store: str) -> TrackingRecipe:
    """The research run: from the classification, 300 epochs of 32 clips a step at 1e-4, in float32.

    The head's outputs are tile pixels, so that the loss is in px²; windows are shifted by 40 to 100
    pixels with the centre kept inside.
    """
    head = {"head": "regression", "center_mean_px": (0.0, 0.0), "center_scale_px": (1.0, 1.0)}
    return TrackingRecipe(
        model=ModelSettings(changes={"drop_path_rate": 0.0, **head}),
        data=DataSettings(store=store, augmentation=SHIFTED, workers=4),
        optimizer=OptimizerSettings(
            lr=1e-4, schedule="constant", betas=(0.9, 0.95), weight_decay=0.05
        ),
        training=TrainingSettings(epochs=300, global_batch=32),
        engine=EngineSettings(gradient_checkpointing=True),
        tracking=TrackingSettings(select_by="loss"),
    )


def videomaev2_specialization(store: str) -> SpecializationRecipe:
    """Pretraining of ViT-B as in VideoMAEv2 (scripts/pretrain, run_mae_pretraining.py).

    200 epochs of 4 views a clip, masks .9 and .5, 1e-3 for 256 clips; the warm-up starts from 0.
    The number of clips a step and the augmentation are ours.
    """
    return SpecializationRecipe(
        model=ModelSettings(preset="base"),
        data=DataSettings(store=store, num_views=4, workers=8),
        optimizer=OptimizerSettings(
            lr_per_256=1e-3,
            final_lr=1e-5,
            warmup_epochs=20,
            betas=(0.9, 0.95),
            weight_decay=0.05,
        ),
        training=TrainingSettings(epochs=200, global_batch=256),
        engine=EngineSettings(precision="bf16"),
        masking=MaskingSettings(encoder=0.9, decoder=0.5),
    )


def videomaev2_classification(store: str) -> ClassificationRecipe:
    """Fine-tuning of ViT-B on Kinetics-400 as in VideoMAEv2.

    90 epochs of 512 clips in 2 views, 7e-4 for 256 clips, layer decay .75, drop path .1, mixup .8,
    cutmix 1 (vit_b_k400_ft.sh and the defaults of run_class_finetuning.py). The augmentation of
    pixels and places is ours.
    """
    return ClassificationRecipe(
        model=ModelSettings(changes={"drop_path_rate": 0.1}),
        data=DataSettings(store=store, num_views=2, workers=8),
        optimizer=OptimizerSettings(
            lr_per_256=7e-4,
            final_lr=2e-6,
            warmup_epochs=5,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            layer_decay=0.75,
        ),
        training=TrainingSettings(epochs=90, global_batch=512),
        engine=EngineSettings(precision="bf16"),
        classification=ClassificationSettings(label_smoothing=0.1, mixup=0.8, cutmix=1.0),
    )


def heatmap_tracking(store: str) -> TrackingRecipe:
    """Our own choice for a GPU; nobody has published how to track with VideoMAEv2.

    The fine-tuning of VideoMAEv2 with half its learning rate, a heatmap head, and every storm as
    often as any other.
    """
    return TrackingRecipe(
        model=ModelSettings(changes={"drop_path_rate": 0.1, "head": "heatmap"}),
        data=DataSettings(store=store, order="balanced", num_views=2, workers=8),
        optimizer=OptimizerSettings(
            lr_per_256=3.5e-4,
            final_lr=1e-6,
            warmup_epochs=5,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            layer_decay=0.75,
            clip_norm=5.0,
        ),
        training=TrainingSettings(epochs=50, global_batch=64, ema_decay=0.999),
        engine=EngineSettings(precision="bf16"),
    )


def laptop_specialization(store: str) -> SpecializationRecipe:
    """Our own choice for one or two hours on two cores: 4 M parameters, tubelets of 4 frames."""
    return SpecializationRecipe(
        model=ModelSettings(preset="tiny", changes={**LAPTOP_SIZE}),
        data=DataSettings(store=store, order="balanced", samples=1536),
        optimizer=OptimizerSettings(
            lr=1e-3, final_lr=1e-5, warmup_epochs=1, betas=(0.9, 0.95), clip_norm=5.0
        ),
        training=TrainingSettings(epochs=16, global_batch=16),
    )


def laptop_classification(store: str) -> ClassificationRecipe:
    """Our own choice for one or two hours on two cores: half cyclones, half all other weather."""
    return ClassificationRecipe(
        model=ModelSettings(preset="tiny", changes={**LAPTOP_SIZE}),
        data=DataSettings(store=store, order="balanced", samples=1024),
        optimizer=OptimizerSettings(
            lr=5e-4, final_lr=1e-6, warmup_epochs=1, betas=(0.9, 0.999), clip_norm=5.0
        ),
        training=TrainingSettings(epochs=15, global_batch=16, ema_decay=0.99),
    )


def laptop_tracking(store: str) -> TrackingRecipe:
    """Our own choice for one or two hours on two cores: a heatmap, every storm alike."""
    return TrackingRecipe(
        model=ModelSettings(preset="tiny", changes={**LAPTOP_SIZE, "head": "heatmap"}),
        data=DataSettings(store=store, order="balanced", samples=1024),
        optimizer=OptimizerSettings(
            lr=5e-4, final_lr=1e-6, warmup_epochs=1, betas=(0.9, 0.999), clip_norm=5.0
        ),
        training=TrainingSettings(epochs=15, global_batch=16, ema_decay=0.99),
    )


def tiny_specialization(store: str) -> SpecializationRecipe:
    """For tests and first tries: learns next to nothing, in a minute."""
    return SpecializationRecipe(
        model=ModelSettings(preset="tiny", changes={**TINY_SIZE, **TINY_DECODER}),
        data=DataSettings(store=store, order="balanced", samples=128),
        optimizer=OptimizerSettings(lr=1e-3, final_lr=1e-5, warmup_epochs=0.5),
        training=TrainingSettings(epochs=2, global_batch=8),
    )


def tiny_classification(store: str) -> ClassificationRecipe:
    """For tests and first tries: learns next to nothing, in a minute."""
    return ClassificationRecipe(
        model=ModelSettings(preset="tiny", changes={**TINY_SIZE}),
        data=DataSettings(store=store, order="balanced", samples=128),
        optimizer=OptimizerSettings(lr=1e-3, final_lr=1e-5, warmup_epochs=0.5),
        training=TrainingSettings(epochs=3, global_batch=8),
    )


def tiny_tracking(store: str) -> TrackingRecipe:
    """For tests and first tries: learns next to nothing, in a minute."""
    return TrackingRecipe(
        model=ModelSettings(preset="tiny", changes={**TINY_SIZE, "head": "heatmap"}),
        data=DataSettings(store=store, order="balanced", samples=128),
        optimizer=OptimizerSettings(lr=1e-3, final_lr=1e-5, warmup_epochs=0.5),
        training=TrainingSettings(epochs=3, global_batch=8),
    )


RECIPES: Mapping[FlowName, Mapping[str, Callable[[str], Recipe]]] = {
    "specialize": {
        "laptop": laptop_specialization,
        "research": research_specialization,
        "tiny": tiny_specialization,
        "videomaev2": videomaev2_specialization,
    },
    "classify": {
        "laptop": laptop_classification,
        "research": research_classification,
        "tiny": tiny_classification,
        "videomaev2": videomaev2_classification,
    },
    "track": {
        "heatmap": heatmap_tracking,
        "laptop": laptop_tracking,
        "research": research_tracking,
        "tiny": tiny_tracking,
    },
}
"""By flow and name; each takes the path of the clip store."""
