"""Heat maps of judged clips, kept for what combines them with more than the picture tells."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16, Int

from medicane_models.files import replacing
from medicane_models.network.averaging import EIGHT_WAYS, average_heatmaps
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.network.outputs import TrackingOutput
from medicane_training.clips.dataset import ClipDataset
from medicane_training.store.clip_store import ClipStore

__all__ = ["HeatMaps", "heat_maps"]

BATCH = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMaps:
    """Distributions of the centre over the cells of each clip's tile.

    Attributes:
        clip: rows in the store's index.
        probability: of each cell.
        cell_px: pixels along each side of a cell.
        origin_px: (x, y) of the middle of the first cell in tile pixels.
    """

    clip: Int[np.ndarray, " n"]
    probability: Float16[np.ndarray, "n i j"]
    cell_px: int
    origin_px: tuple[float, float]

    def save(self, path: Path) -> None:
        """Write an npz file as a whole."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "HeatMaps":
        """Read what :meth:`save` wrote."""
        with np.load(path) as saved:
            x, y = saved["origin_px"].tolist()
            return cls(
                clip=saved["clip"],
                probability=saved["probability"],
                cell_px=int(saved["cell_px"]),
                origin_px=(x, y),
            )


def heat_maps(
    model: MedicaneForTracking, store: ClipStore, clips: Int[np.ndarray, " n"]
) -> HeatMaps:
    """The mean heat map over eight views of each clip, and no augmentation."""
    dataset, device = ClipDataset(store), next(model.parameters()).device

    def mean_map(some: Int[np.ndarray, " k"]) -> TrackingOutput:
        batch = dataset.__getitems__(some.tolist()).to(device)
        with torch.no_grad():
            return average_heatmaps(model, batch.pixel_values(store.processor)[0], EIGHT_WAYS)

    found = [mean_map(some) for some in np.array_split(clips, -(-len(clips) // BATCH))]
    maps = [np.asarray(one.heatmap.cpu(), np.float16) for one in found if one.heatmap is not None]
    cell_px, origin_px = found[0].cell_px, found[0].origin_px
    assert cell_px is not None
    assert origin_px is not None
    return HeatMaps(
        clip=clips, probability=np.concatenate(maps), cell_px=cell_px, origin_px=origin_px
    )
