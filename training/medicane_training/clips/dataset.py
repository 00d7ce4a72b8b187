"""From a clip store to batches of tensors.

Letters: B clips (views counted), T frames, C bands, H rows, W columns.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.verification.best_tracks import positions_at
from medicane_training.clips.augmentation import adjust, move_points, normalised, stretched, warp
from medicane_training.clips.random_views import (
    draw_frames,
    draw_matrix,
    draw_photometry,
    draw_tile,
    hide_block,
)
from medicane_training.clips.sampling import ClipKey, ClipSampler
from medicane_training.interrupts import ignore_signals
from medicane_training.recipes.sections import Augmentation
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.selection import BuildSettings

__all__ = ["ClipBatch", "ClipDataset", "ClipLoader", "ViewTransforms"]


@dataclass(frozen=True, kw_only=True)
class ViewTransforms:
    """What is still to be done to the pixels of each view: a map about the middle, gain, offset."""

    matrix: Float[Tensor, "B 2 2"]
    gain: Float[Tensor, "B C"]
    offset: Float[Tensor, "B C"]


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Clips as the store keeps them, a quarter of the bytes of what a model reads.

    Attributes:
        codes: 0 … 254 for 0 … 1, 255 where missing.
        clip: row in the store's index.
        label: 0 no cyclone, 1 cyclone, 2 beside one, -1 unknown.
        center: pixel (x, y) of the tile where the centre is in the last frame; NaN without one.
        views: what augmentation has left to do; None after it, or without any.
        num_views: of each clip, one after the other.
    """

    codes: UInt8[Tensor, "B T C H W"]
    clip: Int64[Tensor, " B"]
    label: Int64[Tensor, " B"]
    center: Float[Tensor, "B 2"]
    views: ViewTransforms | None = None
    num_views: int = 1

    def __len__(self) -> int:
        """Views of all clips."""
        return len(self.codes)

    def split(self, parts: int) -> "list[ClipBatch]":
        """The batch in equal contiguous parts; the views of a clip stay together.

        Raises:
            ConfigurationError: if the number of clips is no multiple of ``parts``.
        """
        clips = len(self) // self.num_views
        if clips % parts:
            raise ConfigurationError(
                f"{clips} clips of a process in a step cannot be computed in {parts} equal parts; "
                "make training.global_batch a multiple of training.accumulation and the number of "
                "processes"
            )
        size = len(self) // parts
        slices = [slice(first, first + size) for first in range(0, len(self), size)]
        return [self._map(operator.itemgetter(rows)) for rows in slices]

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> "ClipBatch":
        """The batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "ClipBatch":
        """The batch in page-locked memory, as DataLoader asks for it."""
        return self._map(torch.Tensor.pin_memory)

    def pixel_values(
        self, processor: MedicaneProcessor
    ) -> tuple[Float[Tensor, "B T C H W"], Float[Tensor, "B 2"]]:
        """What a model reads, and the centres in it, with the views' transforms done."""
        values, center = self.stretched()
        return normalised(values, processor), center

    def stretched(self) -> tuple[Float[Tensor, "B T C H W"], Float[Tensor, "B 2"]]:
        """The same before it is normalised: values 0 … 1, NaN where pixels are missing."""
        values, center = stretched(self.codes), self.center
        if self.views is not None:
            values = adjust(values, self.views.gain, self.views.offset)
            values = warp(values, self.views.matrix)
            center = move_points(center, self.views.matrix, values.shape[-1])
        return values, center

    def _map(self, change: Callable[[Tensor], Tensor]) -> "ClipBatch":
        tensors = {
            name: change(getattr(self, name)) for name in ("codes", "clip", "label", "center")
        }
        views = self.views and ViewTransforms(**{k: change(v) for k, v in vars(self.views).items()})
        return replace(self, **tensors, views=views)


class ClipDataset(Dataset[ClipBatch]):
    """Clips of a store by number or key; read straight into the batch they belong to.

    A clip that cannot be read is an error that names it, never replaced by another.
    """

    def __init__(
        self,
        store: ClipStore,
        *,
        augmentation: Augmentation | None = None,
        num_views: int = 1,
        seed: int = 0,
    ) -> None:
        """Open a store for training or evaluation.

        Args:
            store: where the clips are.
            augmentation: None shows every clip as it is.
            num_views: of each clip, one after the other in the batch.
            seed: with epoch, position and number of the view it determines every draw.
        """
        if num_views < 1 or (num_views > 1 and augmentation is None):
            raise ConfigurationError(
                f"num_views is {num_views}; give at least 1, and more only with an augmentation"
            )
        self.store = store
        self.augmentation = augmentation
        self.num_views = num_views
        self.seed = seed

    def __len__(self) -> int:
        return len(self.store.clips)

    def __getitem__(self, key: int | ClipKey) -> ClipBatch:
        """One clip as a batch of its views."""
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[int | ClipKey]) -> ClipBatch:
        """A batch; DataLoader calls this once for all its keys."""
        keys = [key if isinstance(key, ClipKey) else ClipKey(key, 0, key) for key in keys]
        clips = np.repeat([key.clip for key in keys], self.num_views)
        codes = np.empty((len(clips), *self.store.tile_shape), np.uint8)
        center = self._centers[clips]
        if self.augmentation is None:
            for clip, out in zip(clips, codes, strict=True):
                self.store.read(int(clip), out=out)
            return self._batch(clips, codes, center, None)
        draws = [
            self._view(self.augmentation, key, view, codes[row], center[row])
            for row, (key, view) in enumerate((k, v) for k in keys for v in range(self.num_views))
        ]
        return self._batch(clips, codes, center, _views(draws))

    def _batch(
        self,
        clips: np.ndarray,
        codes: np.ndarray,
        center: np.ndarray,
        views: ViewTransforms | None,
    ) -> ClipBatch:
        return ClipBatch(
            codes=torch.from_numpy(codes),
            clip=torch.from_numpy(clips.astype(np.int64)),
            label=torch.from_numpy(self._labels[clips]),
            center=torch.from_numpy(center),
            views=views,
            num_views=self.num_views,
        )

    def _view(
        self,
        augmentation: Augmentation,
        key: ClipKey,
        view: int,
        codes: UInt8[np.ndarray, "T C H W"],
        center: Float[np.ndarray, " 2"],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read one view into ``codes``, move ``center`` along; its matrix, gain and offset."""
        rng = np.random.default_rng((self.seed, key.epoch, key.position, view))
        store, clip = self.store, key.clip
        processor, tile = store.processor, store.tile(clip)
        moved = draw_tile(
            augmentation,
            rng,
            tile,
            label=int(self._labels[clip]),
            storms=self._storms[clip],
            grid=processor.grid,
            size=processor.tile_size,
        )
        frames = draw_frames(augmentation, rng, processor.num_frames, processor.max_missing)
        store.read(clip, tile=moved, frames=frames, out=codes)
        hide_block(augmentation, rng, codes)
        center -= np.subtract(moved, tile)
        matrix = draw_matrix(augmentation, rng, center.astype(np.float64), processor.tile_size)
        return matrix, *draw_photometry(augmentation, rng, len(processor.bands))

    @cached_property
    def _labels(self) -> np.ndarray:
        return self.store.clips["label"].to_numpy(np.int64)

    @cached_property
    def _centers(self) -> np.ndarray:
        return self.store.clips[["target_x", "target_y"]].to_numpy(np.float32)

    @cached_property
    def _storms(self) -> list[np.ndarray]:
        """Pixels (n, 2) of the grid where storms are at the end of each clip."""
        ends = self.store.clips["end"]
        if self.store.tracks is None:
            return [np.empty((0, 2))] * len(ends)
        gap = BuildSettings.of(self.store).max_gap_hours
        storms = positions_at(self.store.tracks, ends.to_numpy(), max_gap_hours=gap)
        pixels = self.store.processor.grid.lonlat_to_pixel(storms["lon"], storms["lat"])
        places = np.stack(pixels, axis=-1)
        at = {time: places[rows] for time, rows in storms.groupby("time").indices.items()}
        return [at.get(end, np.empty((0, 2))) for end in ends]


def _views(draws: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> ViewTransforms:
    matrix, gain, offset = (
        torch.from_numpy(np.stack(values).astype(np.float32)) for values in zip(*draws, strict=True)
    )
    return ViewTransforms(matrix=matrix, gain=gain, offset=offset)


class ClipLoader:
    """Batches of one epoch after the other, in the main process or in workers.

    What it yields depends on the sampler and the dataset's seed, not on the number of workers.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        sampler: ClipSampler,
        *,
        workers: int = 0,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        pin_memory: bool = False,
    ) -> None:
        """Set up reading.

        Args:
            dataset: the clips.
            sampler: their order; the loader advances it.
            workers: processes that read ahead; 0 reads when asked.
            start_method: of the processes, the platform's own if None.
            pin_memory: page-lock batches for a GPU.
        """
        self.sampler = sampler
        self._loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=_identity,
            worker_init_fn=_outlive_signals,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            multiprocessing_context=start_method if workers else None,
        )

    def __len__(self) -> int:
        """Batches left in this epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[ClipBatch]:
        """The rest of the epoch; when it is through, the sampler stands at the next one's start."""
        for batch in self._loader:
            self.sampler.advance()
            yield batch
        self.sampler.next_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Which batches were used, whatever the workers have read ahead."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.sampler.load_state_dict(state)


def _identity(batch: Any) -> ClipBatch:
    return batch


def _outlive_signals(worker: int) -> None:
    ignore_signals()
