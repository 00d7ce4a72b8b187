"""The sections of a recipe but its data: frozen, each refusing what cannot be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medicane_models.errors import ConfigurationError
from medicane_training.recipes.bounds import at_least

__all__ = [
    "ClassificationSettings",
    "EngineSettings",
    "MaskingSettings",
    "ModelSettings",
    "OptimizerSettings",
    "TrackingSettings",
    "TrainingSettings",
]

Kept = Literal["predictions", "logits", "embeddings"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model is trained, and what it starts from.

    Attributes:
        preset: size of a model that starts from random weights; None with ``init``.
        init: folder, run, embedded model or Hub id to start from. One of the same task is taken
            over whole, of another one its backbone.
        init_revision: branch, tag or commit of an initial model on the Hub.
        changes: fields of :class:`medicane_models.MedicaneConfig` that differ from
            the preset's or the initial model's.
        license: of the weights, as the Hub spells it, or other:NAME, or other:NAME <LINK>; None
            where nobody has chosen one.
    """

    preset: str | None = None
    init: str | None = None
    init_revision: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None

    def __post_init__(self) -> None:
        if self.preset is not None and self.init is not None:
            raise ConfigurationError(
                f"model.preset is {self.preset!r} and model.init {self.init!r}; an initial model "
                "brings its own size, so set one of them to null"
            )
        if self.init is None and self.init_revision is not None:
            raise ConfigurationError(
                f"model.init_revision is {self.init_revision!r} and there is no model.init; name it"
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimiser and how its rates change from step to step.

    Attributes:
        name: an optimiser of timm.
        lr: highest learning rate, as it is.
        lr_per_256: highest learning rate for 256 clips a step, scaled by the global batch; give
            this or ``lr``.
        schedule: after the warm-up, ``cosine`` to ``final_lr`` or ``constant``.
        final_lr: of the cosine, as it is.
        warmup_epochs: may be a fraction.
        warmup: ``linear``, or ``power`` (start·x^a through the start at step 1 and the highest rate
            at the end) as in the research code.
        warmup_start_lr: as it is.
        betas: of Adam and its like; None for the optimiser's own, or where it takes none.
        eps: the same.
        weight_decay: of matrices; vectors and biases have none.
        final_weight_decay: what it becomes along a cosine; None keeps it.
        layer_decay: factor on the rate from each layer to the one before it; 1 for all alike.
        clip_norm: longest gradient, as a whole; None does not clip.
    """

    name: str = "adamw"
    lr: float | None = None
    lr_per_256: float | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    final_lr: float | None = None
    warmup_epochs: float = 0.0
    warmup: Literal["linear", "power"] = "linear"
    warmup_start_lr: float | None = None
    betas: tuple[float, float] | None = (0.9, 0.95)
    eps: float | None = 1e-8
    weight_decay: float = 0.05
    final_weight_decay: float | None = None
    layer_decay: float = 1.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if (self.lr is None) == (self.lr_per_256 is None):
            raise ConfigurationError(
                f"optimizer.lr is {self.lr} and optimizer.lr_per_256 {self.lr_per_256}; give one "
                "of the two and set the other to null"
            )
        if self.schedule == "constant" and self.final_lr is not None:
            raise ConfigurationError("optimizer.final_lr belongs to the cosine; set it to null")
        if self.warmup_epochs == 0 and self.warmup_start_lr is not None:
            raise ConfigurationError(
                "optimizer.warmup_start_lr needs warmup_epochs above 0; set it to null"
            )
        if self.warmup == "power" and not (self.warmup_start_lr or 0) > 0:
            raise ConfigurationError(
                "optimizer.warmup power needs warmup_epochs and a warmup_start_lr above 0"
            )
        if not 0 < self.layer_decay <= 1:
            raise ConfigurationError(
                f"optimizer.layer_decay is {self.layer_decay}; give more than 0, up to 1"
            )
        for name in ("lr", "lr_per_256", "clip_norm"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ConfigurationError(f"optimizer.{name} is {value}; give more than 0")
        at_least("optimizer", self, warmup_epochs=0, weight_decay=0)

    def highest_lr(self, global_batch: int) -> float:
        """The learning rate after the warm-up."""
        if self.lr is not None:
            return self.lr
        assert self.lr_per_256 is not None  # for the type checker: __post_init__ checks it
        return self.lr_per_256 * global_batch / 256


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What carries out the steps.

    Attributes:
        backend: ``ddp`` (also for a single process) or ``deepspeed``.
        zero_stage: of DeepSpeed, 0 … 3; deepspeed only, where None is 1.
        device: ``auto`` takes this rank's GPU where there is one.
        precision: of the forward pass; parameters and optimiser stay float32.
        gradient_checkpointing: trade time for memory.
        compile: the forward pass through torch.compile, in pretraining its blocks.
    """

    backend: Literal["ddp", "deepspeed"] = "ddp"
    zero_stage: Literal[0, 1, 2, 3] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    gradient_checkpointing: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.backend == "ddp" and self.zero_stage is not None:
            raise ConfigurationError(
                f"engine.zero_stage is {self.zero_stage} and the backend ddp; set zero_stage to "
                "null, or backend to deepspeed"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long, in what portions, and what is kept.

    Attributes:
        epochs: whole passes over the training order.
        global_batch: clips of an optimiser step, over all ranks; views of a clip count as one.
        accumulation: parts that a rank's share of a step is computed in.
        seed: of weights, order, augmentation and masks.
        ema_decay: of the running mean of the weights that is evaluated and kept, once it is less
            than 1 − (1 + s)^(−⅔) at step s; None for none.
        evaluate_every: epochs from a validation to the next; the last epoch always has one.
        save_every_minutes: from a checkpoint to the next, besides one at every validation.
        save_every_steps: the same in steps; None for none.
        keep: newest checkpoints kept, besides the best.
        non_finite: what a loss or gradient that is not a number does: ``stop`` the run, or
            ``roll_back`` to the newest checkpoint and leave the batch out.
        roll_backs: most of them in a run; ``roll_back`` only, where None is 3.
        patience: validations without a better score after which the run ends; None never.
    """

    epochs: int
    global_batch: int
    accumulation: int = 1
    seed: int = 0
    ema_decay: float | None = None
    evaluate_every: int = 1
    save_every_minutes: float | None = 15.0
    save_every_steps: int | None = None
    keep: int = 2
    non_finite: Literal["stop", "roll_back"] = "stop"
    roll_backs: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        counts = ("epochs", "global_batch", "accumulation", "evaluate_every", "keep", "patience")
        least = dict.fromkeys((*counts, "save_every_steps"), 1.0)
        at_least("training", self, **least, seed=0, save_every_minutes=0, roll_backs=0)
        if self.global_batch % self.accumulation:
            raise ConfigurationError(
                f"training.global_batch {self.global_batch} cannot be computed in "
                f"{self.accumulation} equal parts; make it a multiple of training.accumulation"
            )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigurationError(
                f"training.ema_decay is {self.ema_decay}; give a number between 0 and 1, or null"
            )
        if self.non_finite == "stop" and self.roll_backs is not None:
            raise ConfigurationError(
                "training.roll_backs belongs to training.non_finite roll_back; set it to null"
            )


@dataclass(frozen=True, kw_only=True)
class MaskingSettings:
    """What specialization hides.

    Attributes:
        encoder: share of the spatial cells that the encoder does not see.
        decoder: share of the tokens that the decoder is not asked for; 0 asks for exactly what the
            encoder did not see.
        avoid_no_data: hide cells without data first, so that the encoder looks at data, and let
            missing pixels count for nothing.
        pictures: clips whose reconstruction is drawn at every validation.
    """

    encoder: float = 0.9
    decoder: float = 0.5
    avoid_no_data: bool = True
    pictures: int = 4

    def __post_init__(self) -> None:
        for name in ("encoder", "decoder"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(
                    f"masking.{name} is {getattr(self, name)}; give 0 or more, under 1"
                )
        at_least("masking", self, pictures=0)


@dataclass(frozen=True, kw_only=True)
class ClassificationSettings:
    """What is particular to classification.

    Attributes:
        classes: 2, or 3 with the tiles beside a cyclone as a class of their own.
        train: ``all`` weights, or only the ``head`` (a linear probe).
        label_smoothing: share of a label that is spread over all classes.
        mixup: alpha of the blending of two clips; 0 for none.
        cutmix: alpha of pasting a window of another clip; 0 for none.
        class_weights: of the loss; None for 1 each, ``balanced`` for the inverse frequency among
            the training clips, or a number a class.
        select_by: the validation score that chooses the checkpoint.
        deployment_rate: share of cyclones among all tiles and hours that temperature and threshold
            are fitted for; None takes the rate of all weather in the validation clips.
        threshold_for: the validation score that the threshold maximises at that rate.
        keep: what is written of each clip beside the scores.
    """

    classes: Literal[2, 3] = 2
    train: Literal["all", "head"] = "all"
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    select_by: Literal["balanced_accuracy", "pr_area", "roc_area", "csi", "hss", "loss"] = "pr_area"
    deployment_rate: float | None = None
    threshold_for: Literal["csi", "hss", "balanced_accuracy"] = "csi"
    keep: tuple[Kept, ...] = ("predictions",)

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigurationError(
                f"classification.label_smoothing is {self.label_smoothing}; give 0 or more, under 1"
            )
        if self.deployment_rate is not None and not 0 < self.deployment_rate < 1:
            raise ConfigurationError(
                f"classification.deployment_rate is {self.deployment_rate}; give a share of tiles "
                "and hours between 0 and 1, or null"
            )
        weights = self.class_weights
        if isinstance(weights, tuple) and (len(weights) != self.classes or min(weights) <= 0):
            raise ConfigurationError(
                f"classification.class_weights has {len(weights)} numbers for {self.classes} "
                f"classes, the least {min(weights, default=0):g}; give one above 0 a class"
            )
        at_least("classification", self, mixup=0, cutmix=0)


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """What is particular to tracking; the head and its units are fields of the model.

    Attributes:
        select_by: the validation score that chooses the checkpoint.
        baselines: compare with what needs no learning at every final test.
        label_km: how far the true centre may be from its label in training, a standard deviation
            along each axis: for the strongest storms (115 kt or 930 hPa), then the weakest (35 kt
            or 1005 hPa), the middle where nobody knows; heatmaps only. None takes labels as exact.
        label_weights: what a clip counts in the loss, for the strongest storms, then the weakest;
            only their ratio matters.
    """

    select_by: Literal["mean_km", "median_km", "p90_km", "loss"] = "mean_km"
    baselines: bool = True
    label_km: tuple[float, float] | None = None
    label_weights: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name, pair in (("label_km", self.label_km), ("label_weights", self.label_weights)):
            if pair is not None and min(pair) <= 0:
                raise ConfigurationError(f"tracking.{name} is {pair}; give two numbers above 0")
