"""The third flow: where in its tile a cyclone's centre is at the last frame of a clip."""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medicane_models.errors import ConfigurationError
from medicane_models.network.averaging import average_tracking
from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_models.network.configuration import Covariance, MedicaneConfig
from medicane_models.network.heads import RegressionHead
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.network.outputs import TrackingOutput
from medicane_models.prediction.refinement import HeatMaps, HeatMapTrust
from medicane_models.prediction.uncertainty import calibrated_radii
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.dataset import ClipDataset
from medicane_training.engines.interface import Forward
from medicane_training.flows.initial_model import start_config, start_model
from medicane_training.flows.interface import Columns, Flow, Step, Table
from medicane_training.flows.provenance import data_kind, training_data
from medicane_training.flows.sureness import label_weights, label_widths_km
from medicane_training.recipes.kinds import TrackingRecipe
from medicane_training.scores.baselines import baseline_errors
from medicane_training.scores.centres import (
    RADIUS_COLUMNS,
    JudgedCentres,
    by_group,
    classes_of_clips,
    coverage_by_group,
    error_km,
    error_scores,
    intensity_classes,
    printed,
    radii_km,
)
from medicane_training.scores.first_guess import (
    first_guess_errors,
    first_guess_scores,
    fit_trust,
)
from medicane_training.scores.intervals import weather_blocks, with_intervals
from medicane_training.scores.radii import fit_radii
from medicane_training.store.labels import CYCLONE

__all__ = ["HEATMAP", "JUDGED_COLUMNS", "TrackingFlow", "trackable"]

JUDGED_COLUMNS = (
    *("loss", "x", "y", "true_x", "true_y"),
    *("variance_x", "covariance_xy", "variance_y"),
    *("error_px", "error_km", *RADIUS_COLUMNS),
)
"""What `TrackingFlow.judge` says of a clip: centres in pixels of its tile, the covariance
of the error in px², NaN where it was never measured."""

HEATMAP = "heatmap"
"""Probability of each cell, (rows, columns); a column of tables in memory, not of files."""

UNITS = ("center_mean_px", "center_scale_px")
LEAST_SCALE_PX = 1.0
PICTURES = 6
MODEL = "model"


def trackable(clips: pd.DataFrame) -> Bool[np.ndarray, " clips"]:
    """The rows of a store's index that hold a cyclone whose centre is known."""
    known = np.isfinite(clips[["target_x", "target_y"]].to_numpy(float)).all(axis=1)
    return known & (clips["label"].to_numpy() == CYCLONE)


class TrackingFlow(Flow[TrackingRecipe]):
    """Regression or a heatmap, chosen by the model's ``head``; see `network.heads`."""

    model_class: ClassVar[type[MedicaneModel]] = MedicaneForTracking

    eligible = staticmethod(trackable)

    @property
    def selects(self) -> str:
        """What the recipe says; all are errors or the loss."""
        return self.recipe.tracking.select_by

    def make_model(self) -> tuple[MedicaneForTracking, LoadReport | None]:
        """The model; a fresh regression head takes its units from the training targets.

        Raises:
            ConfigurationError: units are given for a heatmap head.
        """
        settings, processor = self.recipe.model, self.clips.processor
        head = start_config(MedicaneForTracking, settings, processor=processor).head
        given = sorted(set(UNITS) & set(settings.changes))
        if head == "regression" and (widths := self.recipe.tracking.label_km) is not None:
            raise ConfigurationError(
                f"tracking.label_km is {widths}, and a regression head knows no width of a target; "
                "set it to null, or model.changes.head to heatmap"
            )
        if head != "regression" and given:
            raise ConfigurationError(
                f"model.changes sets {', '.join(given)}, which the {head} head of "
                f"{settings.init} does not read; leave it out, or set head to regression"
            )
        fresh = head == "regression" and not given and not _is_tracker(settings.init, head)
        return start_model(
            MedicaneForTracking,
            settings,
            processor=processor,
            defaults=self._units() if fresh else None,
        )

    def _units(self) -> dict[str, Any]:
        """Mean and standard deviation of the training targets."""
        targets = self.clips.table("train")[["target_x", "target_y"]].to_numpy(float)
        scale = np.maximum(targets.std(0), LEAST_SCALE_PX)
        return {
            name: tuple(values.tolist())
            for name, values in zip(UNITS, (targets.mean(0), scale), strict=True)
        }

    def loss(self, forward: Forward, batch: ClipBatch, step: Step) -> Tensor:
        """What the head minimises, at the centres as augmentation has moved them."""
        pixels, centers = batch.pixel_values(self.clips.processor)
        sigma, weight = self._sureness(batch)
        return forward(pixels, labels=centers, label_sigma=sigma, label_weight=weight).loss

    def _sureness(
        self, batch: ClipBatch
    ) -> tuple[Float[Tensor, " b"] | None, Float[Tensor, " b"] | None]:
        """Width of each target in pixels of the view, and its weight; None where all are alike."""
        device = batch.clip.device
        if device not in self._labels:
            self._labels[device] = self._label_table.to(device)
        sigma, weight = self._labels[device][batch.clip].unbind(1)
        sigma = sigma if batch.views is None else sigma * batch.views.scale
        settings = self.recipe.tracking
        strong, weak = settings.label_weights
        return None if settings.label_km is None else sigma, None if strong == weak else weight

    @cached_property
    def _labels(self) -> dict[torch.device, Float[Tensor, "clips 2"]]:
        """`_label_table` on each device that has asked."""
        return {}

    @cached_property
    def _label_table(self) -> Float[Tensor, "clips 2"]:
        """Width in pixels and weight of each clip's label; weights are 1 on average in training."""
        store, settings = self.clips.store, self.recipe.tracking
        weight = label_weights(store.clips, settings.label_weights)
        weight = weight / weight[self.clips.rows("train")].mean()
        middle = (store.grid.width - 1) / 2, (store.grid.height - 1) / 2
        px = label_widths_km(store.clips, settings.label_km or (1.0, 1.0))
        px = px / np.mean(store.grid.pixel_size_km(*middle))
        return torch.from_numpy(np.stack([px, weight], axis=1).astype(np.float32))

    def judge(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """See JUDGED_COLUMNS; of local planes also HEATMAP, if the head has one."""
        pixels, centers = batch.pixel_values(self.clips.processor)
        tracker = _tracker(model)
        raw = tracker.forward_raw(pixels)
        rows = zip(raw.split(1), centers.split(1), strict=True)
        loss = torch.stack([tracker.head.loss(one, center) for one, center in rows])
        return self._columns(tracker.head.decode(raw), loss, batch, model.config)

    def judge_released(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """The same from the mean over the model's views; the loss is that of the clip as it is."""
        judged = self.judge(model, batch)
        if model.config.views == "one":
            return judged
        pixels, _ = batch.pixel_values(self.clips.processor)
        output = average_tracking(_tracker(model), pixels)
        return self._columns(output, torch.from_numpy(judged["loss"]), batch, model.config)

    def _columns(
        self,
        output: TrackingOutput,
        loss: Float[Tensor, " b"],
        batch: ClipBatch,
        config: MedicaneConfig,
    ) -> dict[str, np.ndarray]:
        found, truth, covariance = (
            tensor.float().cpu().numpy().astype(float)
            for tensor in (output.center, batch.center, output.covariance)
        )
        tiles, grid = self._tiles(batch.clip.cpu().numpy()), self.clips.store.grid
        columns = (
            *(loss.float().cpu().numpy(), *found.T, *truth.T),
            *(covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]),
            np.hypot(*(found - truth).T),
            error_km(grid, tiles, found, truth),
            *radii_km(grid, tiles, found, covariance, config.radius_calibration).T,
        )
        named = dict(zip(JUDGED_COLUMNS, columns, strict=True))
        if self.clips.processor.uses_planes and output.heatmap is not None:
            named[HEATMAP] = output.heatmap.float().cpu().numpy()
        return {name: values.astype(np.float32) for name, values in named.items()}

    def _tiles(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
        return self.clips.store.clips[["tile_x", "tile_y"]].to_numpy(float)[rows]

    def kept(self, table: Table) -> Table:
        """All but heatmaps, which are a hundred times as large as the rest."""
        return table.drop(columns=HEATMAP, errors="ignore")

    def score(self, table: Table) -> dict[str, float]:
        """See :meth:`medicane_training.scores.centres.JudgedCentres.scores`."""
        return self._judged(table).scores()

    def _judged(self, table: Table) -> JudgedCentres:
        return JudgedCentres.of(table)

    def finish(self, model: MedicaneModel, validation: Table) -> tuple[MedicaneModel, Table]:
        """With its error on validation storms, and what trained it."""
        fitted = training_data(self.clips, self.recipe.model)
        head = _tracker(model).head
        if isinstance(head, RegressionHead):
            covariance = self._error_covariance(validation)
            head.error_covariance = fitted["error_covariance_px"] = covariance
            (xx, xy), (_, yy) = covariance
            validation = validation.assign(variance_x=xx, covariance_xy=xy, variance_y=yy)
            validation[list(RADIUS_COLUMNS)] = self._radii(validation, covariance)
        else:
            judged = self._judged(validation)
            storms = self._storms(validation)
            calibration = fit_radii(judged.radii_km, judged.error_km, storms)
            fitted["radius_calibration"] = calibration
            validation[list(RADIUS_COLUMNS)] = calibrated_radii(judged.radii_km, calibration)
        if (maps := _heatmaps(model, validation)) is not None:
            trust = fit_trust(maps, validation[["true_x", "true_y"]].to_numpy(float))
            fitted |= {"guess_power": trust.power, "guess_slope": trust.slope}
        model.config = model.config.replace(**fitted)
        return model, validation

    def _radii(self, table: Table, covariance: Covariance) -> Float[np.ndarray, "n shares"]:
        tiles = self._tiles(table["clip"].to_numpy(int))
        every = np.broadcast_to(np.array(covariance), (len(table), 2, 2))
        found = table[["x", "y"]].to_numpy(float)
        return radii_km(self.clips.store.grid, tiles, found, every)

    def _error_covariance(self, table: Table) -> Covariance:
        """Second moment of the errors, px², of all storms alike however long they were.

        A position's variance within a pixel is added, so that one clip is enough.
        """
        judged = self._judged(table)
        apart = judged.found - judged.truth
        storms = self._storms(table)
        moments = [
            apart[storms == storm].T @ apart[storms == storm] / (storms == storm).sum()
            for storm in np.unique(storms)
        ]
        moment = np.mean(moments, axis=0) + np.eye(2) / 12
        (xx, xy), (yx, yy) = moment.tolist()
        return (xx, xy), (yx, yy)

    def _storms(self, table: Table) -> np.ndarray:
        return self.clips.store.clips["storm"].to_numpy(str)[table["clip"].to_numpy(int)]

    def draw(self, model: MedicaneModel, folder: Path, name: str) -> list[Path]:
        """Some validation tiles with truth, centre and 95 % circle; nothing without matplotlib."""
        if find_spec("matplotlib") is None:
            return []
        from medicane_training.scores.pictures import draw_centres

        chosen = self.pictured(PICTURES)
        batch = ClipDataset(self.clips.store).__getitems__(chosen.tolist())
        device = next(model.parameters()).device
        with torch.no_grad():
            columns = self.judge(model, batch.to(device))
        judged = pd.DataFrame({name: columns[name] for name in JUDGED_COLUMNS})
        judged["title"] = self.clips.store.names(chosen)
        judged[["tile_x", "tile_y"]] = self._tiles(chosen)
        path = folder / f"{name}-centres.png"
        newest, store = batch.codes[:, -1].numpy(), self.clips.store
        draw_centres(newest, judged, store.processor, store.grid, path)
        return [path]

    def report(self, model: MedicaneModel, judged: Table) -> dict[str, Any]:
        """Scores with counts and intervals beside those of the baselines.

        Returns:
            ``counts``; ``scores`` by method and name, each ``value, low, high``; ``by_storm``,
            ``by_intensity`` and, of local planes, ``by_dataset``, ``by_sensor`` and
            ``by_hemisphere``, the errors of all methods; ``radii_by_intensity``, the shares of
            errors inside the radii; ``first_guess``, of local planes, what heatmaps add to first
            guesses; ``table``, rows to print.
        """
        store, rows = self.clips.store, judged["clip"].to_numpy(int)
        clips = store.clips.iloc[rows]
        storms, blocks = clips["storm"].to_numpy(str), weather_blocks(store, clips)
        others = baseline_errors(store, rows) if self.recipe.tracking.baselines else {}
        errors = {MODEL: judged["error_km"].to_numpy(float), **others}
        of_model = self._judged(judged)
        scores = {name: error_scores(error, blocks) for name, error in errors.items()} | {
            MODEL: with_intervals(lambda rows: of_model.take(rows).scores(), blocks)
        }
        report = {
            "data_kind": data_kind(self.clips.store, judged["clip"].to_numpy(int)),
            "trained_on": model.config.trained_on,
            "views": model.config.views,
            "counts": {"clips": len(judged), "storms": len(set(storms))},
            "scores": scores,
            "by_storm": by_group(errors, storms, "storm"),
            "table": printed(scores, errors, storms),
        }
        for column in ("dataset", "sensor", "hemisphere"):
            if column in clips:
                groups = clips[column].to_numpy(str)
                report[f"by_{column}"] = by_group(errors, groups, column)
        classes = self._intensities(clips)
        if (maps := _heatmaps(model, judged)) is not None:
            errors_beside = first_guess_errors(
                maps,
                of_model.truth,
                km_per_px=store.processor.grid.x_step / 1000,
                trust=HeatMapTrust.of(model.config),
            )
            report["first_guess"] = first_guess_scores(errors_beside, classes, blocks)
        if classes is not None:
            radii = coverage_by_group(of_model, classes, blocks, "intensity")
            report["by_intensity"] = by_group(errors, classes, "intensity")
            report["radii_by_intensity"] = radii
        return report

    def _intensities(self, clips: pd.DataFrame) -> np.ndarray | None:
        """The class of each clip's storm, None where nothing tells."""
        if "wind_kt" in clips:
            return classes_of_clips(clips)
        tracks = self.clips.store.tracks
        if tracks is None:
            return None
        return intensity_classes(tracks, *(clips.loc[:, name] for name in ("end", "storm")))


def _tracker(model: MedicaneModel) -> MedicaneForTracking:
    if not isinstance(model, MedicaneForTracking):
        raise TypeError(f"{type(model).__name__} does not track")
    return model


def _heatmaps(model: MedicaneModel, judged: Table) -> HeatMaps | None:
    """Those of judged clips, if a first guess can be refined with them."""
    if HEATMAP not in judged or model.config.heatmap_offset:
        return None
    return HeatMaps.of(model.config, np.stack(judged[HEATMAP].to_list()))


def _is_tracker(init: str | None, head: str) -> bool:
    """Whether the initial model brings a head of this kind with its own units."""
    before = None if init is None else MedicaneConfig.from_pretrained(init)
    return before is not None and (before.task, before.head) == ("tracking", head)
