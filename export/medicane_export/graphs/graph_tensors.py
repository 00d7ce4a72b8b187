"""Inputs and outputs that only graphs have, beside those of the models."""

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.runtimes.onnx_metadata import GraphContents
from medicane_models.runtimes.tensors import TensorInfo, head_outputs
from medicane_models.scenes.processing import MedicaneProcessor

__all__ = ["MISSING_FRAMES", "PLACES", "PLANE_CENTER", "TILE_OFFSET", "kelvin_of", "outputs_of"]

tensor = TensorInfo.of_clips

TILE_OFFSET = tensor(
    "tile_offset",
    (2,),
    ("x_y",),
    "Column and row of the tile's first pixel in medicane.grid.",
    units="px",
    dtype="int64",
)
PLANE_CENTER = tensor(
    "plane_center",
    (2,),
    ("lon_lat",),
    "Of the local plane that the clip was sampled on; its rows run northwards south of the "
    "equator.",
    units="degrees",
)
MISSING_FRAMES = tensor(
    "missing_frames",
    (),
    (),
    "Frames that are not there: under 90 % of their pixels and then filled from the nearest or, "
    "where medicane.missing is marked, under 50 % and left out. Above medicane.max_missing, or "
    "without a newest frame that is marked, the other outputs are NaN.",
    dtype="int64",
)
PLACES = (
    tensor("lonlat", (2,), ("lon_lat",), "Of the centre, WGS84.", units="degrees"),
    *(
        tensor(
            f"radius_{share}_km",
            (),
            (),
            f"Radius of the circle that holds the centre with a probability of {share} %.",
            units="km",
        )
        for share in (50, 95)
    ),
)
"""Of a tracker's centre."""


def kelvin_of(processor: MedicaneProcessor) -> TensorInfo:
    """The clips that a graph with preprocessing reads."""
    size, channels = processor.tile_size, processor.channels
    return tensor(
        "brightness_temperature",
        (processor.num_frames, len(channels), size, size),
        ("time", "channel", "y", "x"),
        f"Channels {', '.join(channels)}, oldest frame first, NaN for no data; a frame that is "
        "absent is all NaN.",
        units="K",
    )


def outputs_of(config: MedicaneConfig, contents: GraphContents) -> tuple[TensorInfo, ...]:
    """What the graph of a model gives."""
    tokens, dim = config.num_tokens, config.embed_dim
    if contents == "head":
        return head_outputs(config)
    if contents == "embeddings":
        return (
            tensor("embedding", (dim,), ("feature",), "Mean of the tokens, normalised."),
            tensor("tokens", (tokens, dim), ("token", "feature"), "In (t, y, x) order."),
        )
    text = (
        "Predicted pixels of every token, each token's normalised by its own mean and deviation, "
        "in the order (frame, row, column, channel); they mean something where the mask is true."
    )
    return (tensor("reconstruction", (tokens, config.token_values), ("token", "value"), text),)
