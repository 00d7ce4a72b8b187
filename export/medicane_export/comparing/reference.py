"""What the package itself gives for clips: the values that an exported graph must repeat.

Letters: n clips, T frames, C bands, H rows, W columns.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float

from medicane_export.loaded_model import LoadedModel
from medicane_export.sample_clips import ClipSet
from medicane_models.network.averaging import average_classification, average_tracking
from medicane_models.network.base import MedicaneModel
from medicane_models.network.masking import tube_mask
from medicane_models.network.modeling import (
    MedicaneForTracking,
    MedicaneForVideoClassification,
    VideoModel,
)
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.prediction.uncertainty import error_radii
from medicane_models.runtimes.onnx_metadata import GraphContents

__all__ = ["Arrays", "example_masks", "on_the_ground", "torch_outputs"]

Arrays = dict[str, np.ndarray]
BATCH = 4
MASK_RATIO = 0.75


def torch_outputs(source: LoadedModel, contents: GraphContents, clips: ClipSet) -> Arrays:
    """Arrays of the PyTorch model for all clips, under the names of the graph's.

    A tracker's come with what the predictor makes of them, if the clips have a place on the
    ground.
    """
    masks = example_masks(source, len(clips)) if contents == "reconstruction" else None
    parts = [
        _forward(
            source, contents, clips.pixel_values[batch], None if masks is None else masks[batch]
        )
        for batch in _batches(len(clips))
    ]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    located = isinstance(source.model, MedicaneForTracking) and contents == "head"
    if not located or source.processor is None or not clips.has_places:
        return outputs
    return outputs | on_the_ground(outputs, clips, source)


def on_the_ground(outputs: Arrays, clips: ClipSet, source: LoadedModel) -> Arrays:
    """Degrees and radii of centres, as the predictor computes them."""
    processor = source.processor
    assert processor is not None
    center = outputs["center"].astype(float)
    pairs = list(zip(clips.grids(processor), center, strict=True))
    to_km = np.stack([grid.jacobian_km(*pixel) for grid, pixel in pairs])
    in_km = to_km @ outputs["covariance"].astype(float) @ np.swapaxes(to_km, -1, -2)
    lonlat = np.array([grid.pixel_to_lonlat(*pixel) for grid, pixel in pairs])
    if not processor.uses_planes:  # the graph knows the grid and what is near it
        x, y = processor.grid.lonlat_to_pixel(*lonlat.T)
        lonlat[~processor.grid.contains(x, y)] = np.nan
    small, large = error_radii(in_km, source.model.config.radius_calibration).T
    return {"lonlat": lonlat, "radius_50_km": small, "radius_95_km": large}


def example_masks(source: LoadedModel, count: int) -> Bool[np.ndarray, "n tokens"]:
    """Tube masks for a reconstruction, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    grid = source.model.config.token_grid
    return tube_mask(grid, MASK_RATIO, clips=count, generator=generator).numpy()


@torch.inference_mode()
def _forward(
    source: LoadedModel,
    contents: GraphContents,
    pixels: Float[np.ndarray, "n T C H W"],
    masks: Bool[np.ndarray, "n tokens"] | None,
) -> Arrays:
    model, clips = source.model, torch.from_numpy(pixels)
    if masks is not None:
        return _reconstruction(model, clips, torch.from_numpy(masks))
    if contents == "embeddings":
        return _embeddings(model, clips)
    if isinstance(model, MedicaneForTracking):
        found = average_tracking(model, clips)
        values = {name: getattr(found, name) for name in _LOCATED}
        return {name: tensor.numpy() for name, tensor in values.items() if tensor is not None}
    assert isinstance(model, MedicaneForVideoClassification)
    classes = average_classification(model, clips)
    return {"logits": classes.logits.numpy(), "probabilities": classes.probabilities.numpy()}


_LOCATED = ("center", "covariance", "heatmap")


def _embeddings(model: MedicaneModel, clips: torch.Tensor) -> Arrays:
    if isinstance(model, MedicaneForPreTraining):
        every = torch.arange(model.config.num_tokens).expand(len(clips), -1)
        tokens = model.encoder(clips, every)
        return {"embedding": tokens.mean(1).numpy(), "tokens": tokens.numpy()}
    assert isinstance(model, VideoModel)
    tokens = model.forward_features(clips)
    return {"embedding": model.fc_norm(tokens.mean(1)).numpy(), "tokens": tokens.numpy()}


def _reconstruction(model: MedicaneModel, clips: torch.Tensor, masks: torch.Tensor) -> Arrays:
    """Predictions where the mask is true, NaN where they are not asked for."""
    output = model(clips, masks)
    values = clips.new_full((*masks.shape, model.config.token_values), torch.nan)
    places = output.tokens[:, :, None].expand_as(output.reconstruction)
    return {"reconstruction": values.scatter(1, places, output.reconstruction).numpy()}


def _batches(count: int) -> Iterator[slice]:
    for start in range(0, count, BATCH):
        yield slice(start, start + BATCH)
