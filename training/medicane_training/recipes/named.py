"""Named recipes of the three flows: complete configurations, with the source of their values.

A recipe is a function of the path of the clip store. ``laptop`` is what a command takes unless told
otherwise. Recipes without a preset start from the flow before, by ``--init``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from medicane_training.recipes.data_sections import Augmentation, DataSettings
from medicane_training.recipes.kinds import (
    ClassificationRecipe,
    FlowName,
    Recipe,
    SpecializationRecipe,
    TrackingRecipe,
)
from medicane_training.recipes.sections import (
    ClassificationSettings,
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

INFRARED_VIEWS = Augmentation(
    shift_px=(0, 30),
    mirror=0.5,
    angle_degrees=180.0,
    scale=(0.7, 1.7),
    gain=0.35,
    offset=12 / 120,
    curve=0.3,
    blur=1 / 3,
    noise=2 / 120,
    drop_frames=0.2,
    single_frame=0.3,
    block=0.1,
    border=0.15,
    patches=2,
)
"""Planes of 10 km pixels with the storm up to 300 km off, turned, mirrored and of 0.7 to 1.7 times
its size, with 12 K of offset and up to 2 K of noise on a stretch of 120 K, so that imagers which
differ by 10 K or a quarter of the contrast lie within what was seen. Missing frames, borders, bent
grey levels and patches are for old pictures, which have them all."""

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


def infrared_specialization(store: str) -> SpecializationRecipe:
    """Our own choice for stores of local planes: the infrared pair's backbone, mask .75.

    What the stem must not see is erased before it. The decoder is asked for all of that, since
    seven patches a side do not divide into running cells.
    """
    return SpecializationRecipe(
        model=ModelSettings(preset="infrared"),
        data=DataSettings(
            store=store,
            order="balanced",
            samples=4096,
            augmentation=INFRARED_VIEWS,
            evaluation_batch=64,
        ),
        optimizer=OptimizerSettings(
            lr=1.5e-3, final_lr=1e-5, warmup_epochs=2, betas=(0.9, 0.95), clip_norm=2.0
        ),
        training=TrainingSettings(epochs=40, global_batch=64),
        masking=MaskingSettings(encoder=0.75, decoder=0.0),
    )


def infrared_detector(store: str) -> ClassificationRecipe:
    """The detector of the infrared pair, on local planes of any imager, for hours on a few cores.

    Our own prototype's values: 160 thousand clips, seven tenths of them storms, 64 a step at 3e-3,
    decay .03, gradients of at most 2, dropout .2 before the head, running mean of the weights. Half
    of the weather without storms is the hardest fifth of it.
    """
    return ClassificationRecipe(
        model=ModelSettings(preset="infrared", changes={"head_drop_rate": 0.2}),
        data=_infrared_data(store, hard=0.5),
        optimizer=INFRARED_OPTIMIZER,
        training=INFRARED_TRAINING,
        classification=ClassificationSettings(label_smoothing=0.0),
    )


def infrared_tracker(store: str) -> TrackingRecipe:
    """The tracker of the infrared pair, on local planes of any imager, for hours on a few cores.

    Our own choice: as the detector, the mean over eight views, and targets as wide as labels are
    unsure: 10 km at 115 kt or 930 hPa, 50 km at 35 kt or 1005 hPa, which found strong storms better
    than 35 km for all and weak ones no worse.
    """
    return TrackingRecipe(
        model=ModelSettings(preset="infrared", changes={"views": "eight"}),
        data=_infrared_data(store, hard=None),
        optimizer=INFRARED_OPTIMIZER,
        training=INFRARED_TRAINING,
        tracking=TrackingSettings(label_km=(10.0, 50.0), select_by="loss"),
    )


INFRARED_OPTIMIZER = OptimizerSettings(
    lr=3e-3, final_lr=1e-5, warmup_epochs=2, betas=(0.9, 0.999), weight_decay=0.03, clip_norm=2.0
)
INFRARED_TRAINING = TrainingSettings(epochs=40, global_batch=64, ema_decay=0.999)


def _infrared_data(store: str, *, hard: float | None) -> DataSettings:
    """Storms by the square root of their clips, since two hold half of the Himawari pictures."""
    return DataSettings(
        store=store,
        order="balanced",
        shares={"cyclone": 0.7, "cloudy": 0.2, "clear": 0.1},
        samples=4096,
        storm_power=0.5,
        hard=hard,
        augmentation=INFRARED_VIEWS,
        evaluation_batch=64,
    )


RECIPES: Mapping[FlowName, Mapping[str, Callable[[str], Recipe]]] = {
    "specialize": {
        "infrared": infrared_specialization,
        "laptop": laptop_specialization,
        "research": research_specialization,
        "tiny": tiny_specialization,
        "videomaev2": videomaev2_specialization,
    },
    "classify": {
        "infrared-detector": infrared_detector,
        "laptop": laptop_classification,
        "research": research_classification,
        "tiny": tiny_classification,
        "videomaev2": videomaev2_classification,
    },
    "track": {
        "heatmap": heatmap_tracking,
        "infrared-tracker": infrared_tracker,
        "laptop": laptop_tracking,
        "research": research_tracking,
        "tiny": tiny_tracking,
    },
}
"""By flow and name; each takes the path of the clip store."""
