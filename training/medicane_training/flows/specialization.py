"""Specialization: a masked video model goes on learning from unlabelled satellite clips.

Letters: b clips (views counted), t frames, c bands, h rows, w columns, n tokens, m reconstructed
tokens, p pixels of a token.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from PIL import Image
from torch import Tensor

from medicane_models.files import replacing
from medicane_models.network.base import LoadReport, MedicaneModel
from medicane_models.network.blocks import take_tubelets
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.masking import decoder_mask, make_targets, no_data_share, tube_mask
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_training.clips.augmentation import normalised
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.dataset import ClipDataset
from medicane_training.engines.interface import Forward
from medicane_training.flows.initial_model import start_config, start_model
from medicane_training.flows.interface import Columns, Flow, Step, Table
from medicane_training.flows.provenance import data_kind, training_data
from medicane_training.recipes.kinds import SpecializationRecipe
from medicane_training.scores.intervals import printable, weather_blocks, with_intervals

__all__ = ["SpecializationFlow"]

PICTURED_FRAMES = 4
GREY = 0.5


class _Masks(NamedTuple):
    """Of the encoder and of the decoder, True where a token is hidden or not asked for."""

    encoder: Bool[Tensor, "b n"]
    decoder: Bool[Tensor, "b n"]


class SpecializationFlow(Flow[SpecializationRecipe]):
    """Dual-masked autoencoding; the loss is a mean over clips, so that ranks do not change it."""

    model_class: ClassVar[type[MedicaneModel]] = MedicaneForPreTraining

    @cached_property
    def config(self) -> MedicaneConfig:
        """Of the model to train."""
        return start_config(self.model_class, self.recipe.model, processor=self.clips.processor)

    def make_model(self) -> tuple[MedicaneForPreTraining, LoadReport | None]:
        """A pretraining model, from random weights or from any model with its backbone."""
        return start_model(
            MedicaneForPreTraining, self.recipe.model, processor=self.clips.processor
        )

    def loss(self, forward: Forward, batch: ClipBatch, step: Step) -> Tensor:
        """Mean over clips of their squared errors on hidden tokens that hold data."""
        pixels, no_data = self._pixels(batch)
        masks = self._training_masks(no_data, step, batch)
        return self._losses(forward, pixels, masks, no_data).of_model.mean()

    def judge(self, model: MedicaneModel, batch: ClipBatch) -> Columns:
        """Losses under masks that depend on the clip alone; NaN for a clip without data.

        ``loss_of_mean`` is the loss of predicting each token's mean, near 1 but where tokens are
        uniform.
        """
        pixels, no_data = self._pixels(batch)
        masks = self._fixed_masks(batch.clip.tolist(), no_data)
        losses = self._losses(model, pixels, masks, no_data)
        return {
            name: torch.where(losses.known, values, torch.nan).float().cpu().numpy()
            for name, values in (("loss", losses.of_model), ("loss_of_mean", losses.of_mean))
        }

    def score(self, table: Table) -> dict[str, float]:
        """``loss``, ``loss_of_mean``, and their ratio ``unexplained``: 1 without any skill.

        Nothing is known of a hidden cell at any time, so there is nothing to copy it from; the
        token's mean is the best guess without a model.
        """
        loss, of_mean = (
            float(np.nanmean(table[name].to_numpy())) for name in ("loss", "loss_of_mean")
        )
        return {"loss": loss, "loss_of_mean": of_mean, "unexplained": loss / of_mean}

    def finish(self, model: MedicaneModel, validation: Table) -> tuple[MedicaneModel, Table]:
        """The model with a word on its data."""
        model.config = model.config.replace(
            **training_data(self.clips, self.recipe.model, labelled=False)
        )
        return model, validation

    def draw(self, model: MedicaneModel, folder: Path, name: str) -> list[Path]:
        """A PNG a clip: some frames as they are, as the encoder sees them, and as filled in."""
        assert isinstance(model, MedicaneForPreTraining)
        device = next(model.parameters()).device
        paths = []
        for clip in self.pictured(self.recipe.masking.pictures).tolist():
            batch = ClipDataset(self.clips.store)[clip].to(device)
            paths.append(folder / f"{name}-clip-{clip}.png")
            _save_picture(self._picture(model, batch), paths[-1])
        return paths

    def report(self, model: MedicaneModel, judged: Table) -> dict[str, Any]:
        """`score` with the number of clips and intervals by storm and calm week."""
        known = judged.loc[judged["loss"].notna()].reset_index(drop=True)
        index = self.clips.store.clips.iloc[known["clip"].to_numpy()]
        scores = with_intervals(
            lambda rows: self.score(known.iloc[rows]), weather_blocks(self.clips.store, index)
        )
        counts = {"clips": len(judged), "clips_with_data": len(known)}
        return {
            "data_kind": data_kind(self.clips.store, judged["clip"].to_numpy(int)),
            "trained_on": model.config.trained_on,
            "counts": counts,
            "scores": {"model": scores},
            "table": printable({"model": scores}),
        }

    def _pixels(
        self, batch: ClipBatch
    ) -> tuple[Float[Tensor, "b t c h w"], Bool[Tensor, "b t h w"] | None]:
        """What the model reads, and where there is no data; None where that is not asked for."""
        values, _ = batch.stretched(self.clips.processor.tile_size)
        avoid = self.recipe.masking.avoid_no_data
        no_data = values.isnan().any(2) if avoid else None
        return normalised(values, self.clips.processor), no_data

    def _training_masks(
        self, no_data: Bool[Tensor, "b t h w"] | None, step: Step, batch: ClipBatch
    ) -> _Masks:
        """Drawn for the clips of all ranks, of which only this rank's no-data is known here."""
        count = step.world_size * len(batch)
        own = step.own(torch.arange(count), num_views=batch.num_views)
        shares = None
        if no_data is not None:
            shares = torch.zeros(count, self.config.num_tokens)
            shares[own] = self._no_data_shares(no_data)
        masks = self._draw_masks(count, shares, step.generator())
        return _Masks(*(mask[own] for mask in masks))

    def _fixed_masks(self, clips: list[int], no_data: Bool[Tensor, "b t h w"] | None) -> _Masks:
        """Of each clip from a generator of its own, so that validations can be compared."""
        shares = None if no_data is None else self._no_data_shares(no_data)
        masks = [
            self._draw_masks(
                1,
                None if shares is None else shares[row : row + 1],
                torch.Generator().manual_seed(clip),
            )
            for row, clip in enumerate(clips)
        ]
        return _Masks(*(torch.cat(some) for some in zip(*masks, strict=True)))

    def _draw_masks(
        self, clips: int, shares: Float[Tensor, "b n"] | None, generator: torch.Generator
    ) -> _Masks:
        grid, masking = self.config.token_grid, self.recipe.masking
        encoder = tube_mask(grid, masking.encoder, clips=clips, no_data=shares, generator=generator)
        return _Masks(encoder, decoder_mask(encoder, grid, masking.decoder, generator=generator))

    def _no_data_shares(self, no_data: Bool[Tensor, "b t h w"]) -> Float[Tensor, "b n"]:
        return no_data_share(no_data, self.config.tubelet_size, self.config.patch_size).cpu()

    def _losses(
        self,
        forward: Forward,
        pixels: Float[Tensor, "b t c h w"],
        masks: _Masks,
        no_data: Bool[Tensor, "b t h w"] | None,
    ) -> "_Losses":
        """The model's own loss is a mean over all tokens of the batch; this one is by clip."""
        output = forward(pixels, *masks)
        with torch.no_grad():
            valid = None
            if no_data is not None:
                missing = take_tubelets(self._tubelets(no_data[:, :, None]), output.tokens)
                valid = ~missing.flatten(3).transpose(2, 3)  # (b, m, p, 1)
            tubelets = take_tubelets(self._tubelets(pixels), output.tokens)
            targets = make_targets(tubelets, self.config.channel_std, valid).values
        counted = output.scored[:, :, None, None]
        counted = counted if valid is None else counted & valid
        error = output.reconstruction.float().view_as(targets) - targets
        return _Losses(
            of_model=_clip_means(error, counted),
            of_mean=_clip_means(targets, counted),
            known=counted.flatten(1).any(1),
        )

    def _tubelets(
        self, clip: Shaped[Tensor, "b t c h w"]
    ) -> Shaped[Tensor, "b tt hh ww c ft ph pw"]:
        """The clip as a grid of what one token holds."""
        frames, patch = self.config.tubelet_size, self.config.patch_size
        grid = clip.unflatten(1, (-1, frames)).unflatten(4, (-1, patch)).unflatten(6, (-1, patch))
        return grid.permute(0, 1, 4, 6, 3, 2, 5, 7)

    def _picture(
        self, model: MedicaneForPreTraining, batch: ClipBatch
    ) -> Float[np.ndarray, "rows columns 3"]:
        """Original, masked and reconstructed frames of one clip below each other."""
        values, _ = batch.stretched(self.clips.processor.tile_size)
        pixels, no_data = self._pixels(batch)
        masks = self._fixed_masks(batch.clip.tolist(), no_data)
        filled = self._unnormalised(model.reconstruct(pixels, masks.encoder))
        hidden = self._hidden(masks.encoder).to(values.device)
        seen = torch.where(hidden, GREY, values)
        last = self.config.num_frames - 1
        frames = np.unique(np.linspace(0, last, PICTURED_FRAMES).round().astype(int))
        return np.concatenate([self._strip(clip[0], frames) for clip in (values, seen, filled)])

    def _hidden(self, mask: Bool[Tensor, "b n"]) -> Bool[Tensor, "b t 1 h w"]:
        config = self.config
        cells = mask.unflatten(1, config.token_grid)
        for axis, size in (
            (1, config.tubelet_size),
            (2, config.patch_size),
            (3, config.patch_size),
        ):
            cells = cells.repeat_interleave(size, axis)
        return cells[:, :, None]

    def _unnormalised(self, pixels: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t c h w"]:
        processor = self.clips.processor
        mean, std = (pixels.new_tensor(v)[:, None, None] for v in (processor.mean, processor.std))
        return pixels * std + mean

    def _strip(
        self, clip: Float[Tensor, "t c h w"], frames: np.ndarray
    ) -> Float[np.ndarray, "h columns 3"]:
        shown = clip[frames].nan_to_num(0.0).clamp(0, 1).cpu().numpy()
        return np.concatenate([self.clips.processor.picture(frame) for frame in shown], axis=1)


class _Losses(NamedTuple):
    """By clip: of the model, of predicting each token's mean, and whether there is any pixel."""

    of_model: Float[Tensor, " b"]
    of_mean: Float[Tensor, " b"]
    known: Bool[Tensor, " b"]


def _clip_means(
    error: Float[Tensor, "b m p c"], counted: Bool[Tensor, "b m #p 1"]
) -> Float[Tensor, " b"]:
    """Mean square over what counts; 0 where nothing does."""
    counts = counted.expand(*error.shape[:3], 1).sum((1, 2, 3)) * error.shape[3]
    return (error.square() * counted).sum((1, 2, 3)) / counts.clamp_min(1)


def _save_picture(pixels: Float[np.ndarray, "rows columns 3"], path: Path) -> None:
    with replacing(path) as temporary:
        Image.fromarray((pixels * 255).round().astype(np.uint8)).save(temporary)
