"""From a clip store to batches of tensors.

Letters: B clips (views counted), T frames, C bands, H rows, W columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.signals import ignore_signals
from medicane_models.verification.best_tracks import positions_at
from medicane_training.clips.batches import ClipBatch, ViewTransforms
from medicane_training.clips.plane_views import draw_plane, fill_patches, own_plane
from medicane_training.clips.random_views import (
    draw_bend,
    draw_borders,
    draw_frames,
    draw_matrix,
    draw_photometry,
    draw_tile,
    dropped_frames,
    hide_block,
)
from medicane_training.clips.sampling import ClipKey, ClipSampler
from medicane_training.recipes.data_sections import Augmentation
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.labels import CYCLONE, NO_CYCLONE
from medicane_training.store.selection import BuildSettings
from medicane_training.store.shards import MISSING

__all__ = ["ClipDataset", "ClipLoader"]


class Draw(NamedTuple):
    """The attributes of `ViewTransforms` for one view."""

    matrix: np.ndarray
    shift: np.ndarray
    blur: float
    noise: float
    curve: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    borders: np.ndarray
    forced: bool


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
        _check_settings(augmentation, store.processor)
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
        codes = np.empty((len(clips), *self._read_shape), np.uint8)
        center = self._centers[clips]
        if self.augmentation is None:
            for clip, out in zip(clips, codes, strict=True):
                self.store.read(int(clip), out=out)
            return self._batch(clips, codes, center, None)
        show = self._plane if self.store.processor.uses_planes else self._window
        draws = []
        for row, (key, view) in enumerate((k, v) for k in keys for v in range(self.num_views)):
            rng = np.random.default_rng((self.seed, key.epoch, key.position, view))
            draws.append(show(self.augmentation, rng, key.clip, codes[row], center[row]))
        return self._batch(clips, codes, center, _views(self.augmentation, draws))

    @property
    def _read_shape(self) -> tuple[int, int, int, int]:
        """Of what is read of a clip: whole samples where they are turned and scaled to planes."""
        store = self.store
        if self.augmentation is None or not store.processor.uses_planes:
            return store.tile_shape
        return (*store.tile_shape[:2], store.grid.height, store.grid.width)

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

    def _window(
        self,
        augmentation: Augmentation,
        rng: np.random.Generator,
        clip: int,
        codes: UInt8[np.ndarray, "T C H W"],
        center: Float[np.ndarray, " 2"],
    ) -> Draw:
        """Read a window of the grid into ``codes``, move ``center`` along, and draw the rest."""
        store = self.store
        processor, tile = store.processor, store.tile(clip)
        moved = draw_tile(
            augmentation,
            rng,
            tile,
            label=int(self._labels[clip]),
            storms=self._storms[clip],
            grid=store.grid,
            size=processor.tile_size,
        )
        frames = range(processor.num_frames)
        if not processor.marks_missing:
            frames = draw_frames(augmentation, rng, len(frames), processor.max_missing)
        store.read(clip, tile=moved, frames=frames, out=codes)
        self._drop_frames(augmentation, rng, codes)
        hide_block(augmentation, rng, codes)
        center -= np.subtract(moved, tile)
        matrix = draw_matrix(augmentation, rng, center.astype(np.float64), processor.tile_size)
        return self._draw(augmentation, rng, matrix, np.zeros(2), forced=False)

    def _plane(
        self,
        augmentation: Augmentation,
        rng: np.random.Generator,
        clip: int,
        codes: UInt8[np.ndarray, "T C S S"],
        center: Float[np.ndarray, " 2"],
    ) -> Draw:
        """Read a sample into ``codes``, count ``center`` in it, and draw which plane it becomes."""
        store = self.store
        tile, label = store.tile(clip), int(self._labels[clip])
        store.read(clip, tile=Tile(0, 0), out=codes)
        self._drop_frames(augmentation, rng, codes)
        center += tile
        sample, size = codes.shape[-1], store.processor.tile_size
        storms = self._storms[clip] if label in (CYCLONE, NO_CYCLONE) else np.empty((0, 2))
        around = np.isfinite(center).all() and label == CYCLONE
        view = draw_plane(
            augmentation,
            rng,
            codes[-1],
            own_plane(tile, sample_size=sample, size=size),
            anchor=center.astype(np.float64) if around else np.full(2, (sample - 1) / 2),
            storms=storms,
        )
        fill_patches(augmentation, rng, codes, view)
        hide_block(augmentation, rng, codes)
        return self._draw(augmentation, rng, view.matrix, view.shift, forced=view.forced)

    def _drop_frames(
        self,
        augmentation: Augmentation,
        rng: np.random.Generator,
        codes: UInt8[np.ndarray, "T C H W"],
    ) -> None:
        """Take frames away in place, where the model is told which are missing."""
        processor = self.store.processor
        if processor.marks_missing:
            codes[dropped_frames(augmentation, rng, len(codes), processor.max_missing)] = MISSING

    def _draw(
        self,
        augmentation: Augmentation,
        rng: np.random.Generator,
        matrix: np.ndarray,
        shift: np.ndarray,
        *,
        forced: bool,
    ) -> Draw:
        processor = self.store.processor
        gain, offset = draw_photometry(augmentation, rng, len(processor.bands))
        return Draw(
            matrix=matrix,
            shift=shift,
            gain=gain,
            offset=offset,
            blur=rng.random() if rng.random() < augmentation.blur else 0.0,
            noise=rng.uniform(0, augmentation.noise),
            curve=draw_bend(augmentation, rng),
            borders=draw_borders(augmentation, rng, processor.tile_size),
            forced=forced,
        )

    @cached_property
    def _labels(self) -> np.ndarray:
        return self.store.clips["label"].to_numpy(np.int64)

    @cached_property
    def _centers(self) -> np.ndarray:
        return self.store.clips[["target_x", "target_y"]].to_numpy(np.float32)

    @cached_property
    def _storms(self) -> list[np.ndarray]:
        """Pixels (n, 2) of the stored frames where storms are at the end of each clip."""
        if self.store.processor.uses_planes:
            return _storms_of_samples(self.store)
        ends = self.store.clips["end"]
        if self.store.tracks is None:
            return [np.empty((0, 2))] * len(ends)
        gap = BuildSettings.of(self.store).max_gap_hours
        storms = positions_at(self.store.tracks, ends.to_numpy(), max_gap_hours=gap)
        pixels = self.store.grid.lonlat_to_pixel(storms["lon"], storms["lat"])
        places = np.stack(pixels, axis=-1)
        at = {time: places[rows] for time, rows in storms.groupby("time").indices.items()}
        return [at.get(end, np.empty((0, 2))) for end in ends]


def _check_settings(augmentation: Augmentation | None, processor: MedicaneProcessor) -> None:
    """Refuse what nothing would read."""
    if augmentation is None:
        return
    if augmentation.single_frame and not processor.marks_missing:
        raise ConfigurationError(
            f"data.augmentation.single_frame is {augmentation.single_frame}, and the store's "
            "processor fills missing frames; set it to 0"
        )
    if augmentation.patches and not processor.uses_planes:
        raise ConfigurationError(
            f"data.augmentation.patches is {augmentation.patches}, and the store has fixed tiles; "
            "set it to 0"
        )


def _storms_of_samples(store: ClipStore) -> list[np.ndarray]:
    """The sample's own storm and the nearest other one, where they are in it."""
    samples = store.samples.set_index("sample").loc[store.clips["sample"]]
    columns = ["centre_x", "centre_y", "other_x", "other_y"]
    places = samples[columns].to_numpy(np.float64).reshape(-1, 2, 2)
    return [points[np.isfinite(points).all(axis=1)] for points in places]


def _views(augmentation: Augmentation, draws: Sequence[Draw]) -> ViewTransforms:
    """All draws together; None for what the augmentation does not ask for."""
    asked = {"borders": augmentation.border} | {
        name: getattr(augmentation, name) for name in ("blur", "noise", "curve")
    }
    stacked: dict[str, Any] = {
        name: None if asked.get(name) == 0 else _tensor(values)
        for name, values in zip(Draw._fields, zip(*draws, strict=True), strict=True)
    }
    return ViewTransforms(**stacked)


def _tensor(values: Sequence[Any]) -> Tensor:
    stacked = np.stack(values)
    return torch.from_numpy(stacked if stacked.dtype == bool else stacked.astype(np.float32))


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
