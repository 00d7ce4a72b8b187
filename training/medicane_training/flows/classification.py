"""Classification: is a cyclone's centre in the tile?

Letters: b clips (views counted), t frames, c bands, h rows, w columns.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import log_softmax
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medicane_models.errors import ConfigurationError
from medicane_models.network.averaging import VIEWS, View, average_classification
from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.mixing import ClipMixer
from medicane_training.clips.parts import Clips
from medicane_training.clips.sampling import present_shares
from medicane_training.engines.interface import Forward
from medicane_training.flows.initial_model import start_model
from medicane_training.flows.interface import Columns, Flow, Step, Table
from medicane_training.flows.provenance import data_kind, training_data
from medicane_training.recipes.kinds import ClassificationRecipe
from medicane_training.recipes.sections import ClassificationSettings
from medicane_training.scores.calibration import (
    Calibration,
    best_threshold,
    calibrated,
    deployment_weights,
    fit_calibration,
)
from medicane_training.scores.detection import (
    NOT_COLD,
    JudgedForecasts,
    coldness,
    confusion,
    detection_report,
    detection_scores,
)
from medicane_training.scores.intervals import weather_blocks
from medicane_training.store.labels import CYCLONE, IGNORE, NEIGHBOUR, NO_CYCLONE
from medicane_training.store.strata import log_odds_shift

__all__ = ["CLASSES", "ClassificationFlow", "drawn_frequencies"]

CLASSES = {NO_CYCLONE: "no_cyclone", CYCLONE: "cyclone", NEIGHBOUR: "neighbour"}
WITHOUT_NOISE = dict.fromkeys(
    ("drop_path_rate", "proj_drop_rate", "attn_drop_rate", "head_drop_rate"), 0.0
)
FITTED_SCORES = tuple(
    f"deployed_{name}" for name in ("far", "csi", "hss", "alarm_rate", "base_rate", "pr_area")
)
"""Those at the deployment rate that mean something before probabilities are calibrated."""
LEAST_LOGIT = -1e4


class ClassificationFlow(Flow[ClassificationRecipe]):
    """Two classes, or three with the tiles beside a cyclone; clips without a label are left out."""

    model_class: ClassVar[type[MedicaneModel]] = MedicaneForVideoClassification

    @classmethod
    def open(cls, recipe: ClassificationRecipe) -> Self:
        """The flow on the recipe's store.

        Raises:
            ConfigurationError: a class has no clip to train on.
        """
        flow = super().open(recipe)
        for number, share in enumerate(flow.frequencies):
            if share == 0:
                raise ConfigurationError(
                    f"no training clip of {recipe.data.store} is of class {CLASSES[number]}; "
                    "give more scenes and tracks, build the store with neighbours, or change "
                    "data.split, data.shares or classification.classes"
                )
        return flow

    @staticmethod
    def eligible(clips: pd.DataFrame) -> Bool[np.ndarray, " clips"]:
        """Clips with a label."""
        return (clips["label"] != IGNORE).to_numpy()

    @property
    def settings(self) -> ClassificationSettings:
        """The recipe's."""
        return self.recipe.classification

    @property
    def selects(self) -> str:
        """What the recipe says."""
        return self.settings.select_by

    @property
    def bigger_is_better(self) -> bool:
        """All scores but the loss."""
        return self.selects != "loss"

    @cached_property
    def frequencies(self) -> Float[np.ndarray, " classes"]:
        """Share of each class in what training draws."""
        return drawn_frequencies(self.clips, self.settings.classes)

    def make_model(self) -> tuple[MedicaneForVideoClassification, LoadReport | None]:
        """A classifier; of a linear probe all but the head is frozen and without dropout."""
        probe = self.settings.train == "head"
        if probe and (unused := set(WITHOUT_NOISE) & set(self.recipe.model.changes)):
            raise ConfigurationError(
                f"model.changes sets {', '.join(sorted(unused))}, and classification.train head "
                "has no dropout; leave it out"
            )
        names = {number: CLASSES[number] for number in range(self.settings.classes)}
        named = self.recipe.model.changes.get("id2label", names)
        if len(named) != len(names):
            raise ConfigurationError(
                f"model.changes.id2label names {len(named)} classes and classification.classes is "
                f"{len(names)}; make them agree"
            )
        model, report = start_model(
            MedicaneForVideoClassification,
            self.recipe.model,
            processor=self.clips.processor,
            defaults={"id2label": names} | (WITHOUT_NOISE if probe else {}),
        )
        if probe:
            model.requires_grad_(False)
            model.head.requires_grad_(True)
        return model, report

    def loss(self, forward: Forward, batch: ClipBatch, step: Step) -> Tensor:
        """Cross-entropy of smoothed, perhaps mixed labels, weighted by class."""
        pixels, _ = batch.pixel_values(self.clips.processor)
        pixels, targets = self._mixer(pixels, self._labels(batch), step.generator())
        logits = forward(pixels).logits.float()
        return F.cross_entropy(logits, targets, weight=logits.new_tensor(self.class_weights))

    @cached_property
    def class_weights(self) -> tuple[float, ...]:
        """Of the loss; balanced ones have the mean 1 over what training draws."""
        given = self.settings.class_weights
        if given is None:
            return (1.0,) * self.settings.classes
        if given == "balanced":
            return tuple((1 / (self.settings.classes * self.frequencies)).tolist())
        return tuple(given)

    def judge(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """``loss`` (of plain labels), ``label``, ``logit_0`` …, ``probability``, ``embedding``."""
        return self._judged(model, batch, VIEWS["one"])

    def judge_released(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """The same, averaged over the model's views, and ``coldness``, the baseline's.

        Mirrored and turned tiles are fair views where the training mirrored and turned, and where
        pixels are about square on the ground; a geostationary tile far from the sub-satellite
        point is stretched along one axis, which a quarter turn swaps with the other.
        """
        cold = coldness(self.clips.store, batch.clip.cpu().numpy())
        judged = self._judged(model, batch, VIEWS[model.config.views])
        return {**judged, "coldness": cold.astype(np.float32)}

    def kept(self, table: Table) -> Table:
        """Of the columns those that ``classification.keep`` asks for, always the loss."""
        wanted = {
            "predictions": ("label", "probability"),
            "logits": tuple(self._logit_names),
            "embeddings": ("embedding",),
        }
        names = ["clip", "loss", *(name for kind in self.settings.keep for name in wanted[kind])]
        return table.loc[:, [name for name in table.columns if name in names]]

    def score(self, table: Table) -> dict[str, float]:
        """Scores of the likeliest class, areas, the confusion matrix and the loss.

        ``deployed_`` scores are at the deployment rate, with the threshold that is best for these
        very clips, as the released model has it.
        """
        truth, weight = self._outcome(table)
        likeliest = self._logits(table).argmax(1)
        probability = table["probability"].to_numpy(np.float64)
        threshold = best_threshold(probability, truth, weight, self.settings.threshold_for)
        found = JudgedForecasts(
            truth=truth,
            weight=weight,
            forecast=likeliest == CYCLONE,
            ranking=probability,
            probability=probability,
        )
        chosen = probability >= (0.5 if threshold is None else threshold)
        sample = detection_scores(found)
        deployed = detection_scores(replace(found, forecast=chosen))
        return {
            "loss": float(table["loss"].to_numpy().mean()),
            **{name: value for name, value in sample.items() if not name.startswith("deployed_")},
            **{name: deployed[name] for name in FITTED_SCORES},
            "accuracy": float((likeliest == table["label"].to_numpy()).mean()),
            **self._confusion(table, found.forecast),
        }

    def finish(self, model: MedicaneModel, validation: Table) -> tuple[MedicaneModel, Table]:
        """The model with temperature, prior and threshold for the deployment rate.

        Its softmax(logits / temperature) is calibrated: the shift of the prior is in the bias of
        the head.
        """
        assert isinstance(model, MedicaneForVideoClassification)
        truth, weight = self._outcome(validation)
        logits = self._logits(validation)
        fitted = fit_calibration(logits, truth, weight, fallback=self._known_prior())
        released = self._calibrated(validation, fitted)
        probability = released["probability"].to_numpy(np.float64)
        threshold = best_threshold(probability, truth, weight, self.settings.threshold_for)
        with torch.no_grad():
            model.head.bias[CYCLONE] += fitted.shift
        model.config = model.config.replace(
            temperature=fitted.temperature,
            threshold=0.5 if threshold is None else threshold,
            **training_data(self.clips, self.recipe.model),
        )
        return model, released

    def _calibrated(self, table: Table, calibration: Calibration) -> Table:
        """The table as a model with this calibration judges the clips."""
        logits = self._logits(table)
        shifted = logits + calibration.shift * (np.arange(logits.shape[1]) == CYCLONE)
        likelihood = log_softmax(shifted / calibration.temperature, axis=1)
        return table.assign(
            loss=-likelihood[np.arange(len(table)), table["label"]],
            probability=calibrated(logits, calibration),
            **{self._logit_names[CYCLONE]: shifted[:, CYCLONE]},
        )

    def report(self, model: MedicaneModel, judged: Table) -> dict[str, Any]:
        """Scores at the model's threshold with counts and intervals, beside two baselines.

        ``never`` forecasts nothing, or the base rate as a probability; ``coldest_60_km`` an alarm
        from a coldness on that is best for the validation clips.
        """
        truth, weight = self._outcome(judged)
        probability = judged["probability"].to_numpy(np.float64)
        of_model = JudgedForecasts(
            truth=truth,
            weight=weight,
            forecast=probability >= model.config.threshold,
            ranking=probability,
            probability=probability,
        )
        forecasts = {"model": of_model, **self._baselines(judged, of_model)}
        index = self.clips.store.clips.iloc[judged["clip"].to_numpy()]
        scored = detection_report(forecasts, index, weather_blocks(self.clips.store, index))
        return {
            "data_kind": data_kind(self.clips.store, judged["clip"].to_numpy(int)),
            "trained_on": model.config.trained_on,
            "threshold": model.config.threshold,
            "temperature": model.config.temperature,
            "views": model.config.views,
            "loss": float(judged["loss"].to_numpy().mean()),
            "confusion": self._confusion(judged, of_model.forecast),
            **scored,
            "table": [*_depends_on(model, scored), *scored["table"]],
        }

    def _baselines(self, judged: Table, of_model: JudgedForecasts) -> dict[str, JudgedForecasts]:
        """Thresholds and rates are those of the validation clips."""
        rows = self.clips.rows("validation")
        known = self.clips.store.clips.iloc[rows]
        truth = (known["label"] == CYCLONE).to_numpy()
        weight = self._deployed(truth, known["weight"].to_numpy(np.float64))
        rate = np.full(len(judged), float(np.average(truth, weights=weight)))
        nothing = np.full(len(judged), False)
        never = replace(of_model, forecast=nothing, ranking=rate, probability=rate)
        cold = self._coldness(judged)
        if (cold == NOT_COLD).all():
            return {"never": never}
        threshold = best_threshold(
            coldness(self.clips.store, rows), truth, weight, self.settings.threshold_for
        )
        alarm = nothing if threshold is None else cold >= threshold
        coldest = replace(of_model, forecast=alarm, ranking=cold, probability=None)
        return {"coldest_60_km": coldest, "never": never}

    def _coldness(self, judged: Table) -> Float[np.ndarray, " n"]:
        """As `judge_released` has it; what `judge` has judged is looked at here."""
        if "coldness" in judged:
            return judged["coldness"].to_numpy(np.float64)
        return coldness(self.clips.store, judged["clip"].to_numpy())

    def _outcome(self, table: Table) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Whether there was a cyclone, and the weight of each clip at the deployment rate."""
        index = self.clips.store.clips.iloc[table["clip"].to_numpy()]
        truth = table["label"].to_numpy() == CYCLONE
        return truth, self._deployed(truth, index["weight"].to_numpy(np.float64))

    def _deployed(
        self, truth: Bool[np.ndarray, " n"], weight: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        return deployment_weights(truth, weight, self.settings.deployment_rate)

    def _known_prior(self) -> Calibration:
        """From the share of cyclones in the loss to that in all weather, without validation."""
        rate = self.settings.deployment_rate or self.clips.true_rate
        counted = self.frequencies * self.class_weights
        sampled = float(counted[CYCLONE] / counted.sum())
        if not (0 < rate < 1 and 0 < sampled < 1):
            return Calibration()
        return Calibration(shift=log_odds_shift(true_share=rate, sampled_share=sampled))

    def _logits(self, table: Table) -> Float[np.ndarray, "n classes"]:
        return table[self._logit_names].to_numpy(np.float64)

    @property
    def _logit_names(self) -> list[str]:
        return [f"logit_{number}" for number in range(self.settings.classes)]

    def _confusion(self, table: Table, alarm: Bool[np.ndarray, " n"]) -> dict[str, float]:
        """Clips by true class and by the one found: a cyclone at an alarm, else the likeliest."""
        names = [CLASSES[number] for number in range(self.settings.classes)]
        is_cyclone = np.arange(len(names)) == CYCLONE
        others = np.where(is_cyclone, -np.inf, self._logits(table)).argmax(1)
        found = np.where(alarm, CYCLONE, others)
        return confusion(table["label"].to_numpy(), found, names)

    def _judged(
        self, model: MedicaneModel, batch: ClipBatch, views: tuple[View, ...]
    ) -> dict[str, np.ndarray]:
        assert isinstance(model, MedicaneForVideoClassification)
        pixels, _ = batch.pixel_values(self.clips.processor)
        labels = self._labels(batch)
        output = average_classification(model, pixels, views)
        logits = output.logits.float().clamp_min(LEAST_LOGIT)
        scaled = logits / model.config.temperature
        columns = {
            "loss": F.cross_entropy(scaled, labels, reduction="none"),
            "label": labels,
            "probability": scaled.softmax(1)[:, CYCLONE],
            **dict(zip(self._logit_names, logits.unbind(1), strict=True)),
        }
        if "embeddings" in self.settings.keep:
            tokens = model.forward_features(pixels)
            columns["embedding"] = model.forward_head(tokens, pre_logits=True).float()
        return {name: column.cpu().numpy() for name, column in columns.items()}

    def _labels(self, batch: ClipBatch) -> Int[Tensor, " b"]:
        """Classes of the model; of two, a tile beside a cyclone has none."""
        if self.settings.classes > NEIGHBOUR:
            return batch.label
        return torch.where(batch.label == NEIGHBOUR, NO_CYCLONE, batch.label)

    @cached_property
    def _mixer(self) -> ClipMixer:
        return ClipMixer(
            classes=self.settings.classes,
            label_smoothing=self.settings.label_smoothing,
            mixup=self.settings.mixup,
            cutmix=self.settings.cutmix,
        )


def _depends_on(model: MedicaneModel, report: Mapping[str, Any]) -> list[dict[str, str]]:
    """First rows of a table: what its scores were made at."""
    made_at = {
        "threshold": model.config.threshold,
        "temperature": model.config.temperature,
        "deployment_rate": report["base_rate"]["deployed"],
    }
    others = dict.fromkeys(list(report["table"][0])[1:], "")
    return [{"score": name, **others, "model": f"{value:.3g}"} for name, value in made_at.items()]


def drawn_frequencies(clips: Clips, classes: int) -> Float[np.ndarray, " classes"]:
    """Share of each class among the clips that an epoch of training draws.

    Args:
        clips: of which those for training count.
        classes: 2, where tiles beside a cyclone count as without one, or 3.
    """
    table, rows = clips.table("train"), clips.rows("train")
    label = table["label"].to_numpy()
    label = label if classes > NEIGHBOUR else np.where(label == NEIGHBOUR, NO_CYCLONE, label)
    share = np.full(len(rows), 1 / len(rows))
    if clips.settings.order == "balanced":
        stratum = table["stratum"].to_numpy()
        shares = present_shares(clips.store.clips, rows, clips.settings.stratum_shares)
        names, number, count = np.unique(stratum, return_inverse=True, return_counts=True)
        share = (np.array([shares.get(name, 0.0) for name in names]) / count)[number]
    return np.bincount(label, share, classes)
