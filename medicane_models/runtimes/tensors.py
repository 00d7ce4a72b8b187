"""Names, shapes, axes and units of what models take and give, known without loading them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig

__all__ = ["TensorInfo", "clips_of", "head_outputs", "mask_of"]


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One input or output of a model.

    Attributes:
        name: in the model or graph.
        dtype: as numpy spells it.
        shape: a name where the size is free, ``batch`` that of the number of clips.
        axes: what each dimension is.
        units: of the values, "1" where they have none.
        description: one sentence.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    axes: tuple[str, ...]
    units: str
    description: str

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.axes):
            raise ConfigurationError(f"{self.name} has shape {self.shape} but axes {self.axes}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TensorInfo":
        """Restore what JSON kept of one."""
        lists = {key: tuple(values[key]) for key in ("shape", "axes")}
        return cls(**{**values, **lists})

    @classmethod
    def of_clips(
        cls,
        name: str,
        shape: tuple[int | str, ...],
        axes: tuple[str, ...],
        description: str,
        *,
        units: str = "1",
        dtype: str = "float32",
    ) -> "TensorInfo":
        """A tensor that holds something of that shape for each clip of a batch."""
        return cls(
            name=name,
            dtype=dtype,
            shape=("batch", *shape),
            axes=("batch", *axes),
            units=units,
            description=description,
        )


def clips_of(config: MedicaneConfig) -> TensorInfo:
    """The clips that a model reads."""
    return TensorInfo.of_clips(
        "pixel_values",
        config.clip_shape,
        ("time", "band", "y", "x"),
        "Clips normalised by the processor, oldest frame first.",
    )


def mask_of(config: MedicaneConfig, name: str) -> TensorInfo:
    """The tokens that a pretraining model does not see."""
    return TensorInfo.of_clips(
        name,
        (config.num_tokens,),
        ("token",),
        "True where the encoder does not see a token, in (t, y, x) order.",
        dtype="bool",
    )


def head_outputs(config: MedicaneConfig) -> tuple[TensorInfo, ...]:
    """What a classifier or a tracker gives."""
    tensor = TensorInfo.of_clips
    if config.task == "classification":
        size, axes = (len(config.id2label),), ("class",)
        return (
            tensor("logits", size, axes, "As the head gives them."),
            tensor("probabilities", size, axes, "softmax(logits / temperature)."),
        )
    centre = "(x, y) in the tile; (0, 0) is the middle of its first pixel."
    error = "Of the centre's error; NaN where it was never measured."
    located = (
        tensor("center", (2,), ("x_y",), centre, units="px"),
        tensor("covariance", (2, 2), ("x_y", "x_y"), error, units="px2"),
    )
    if config.head != "heatmap":
        return located
    cells = (
        f"Probability of each cell of {config.heatmap_stride} px; the middle of the first lies at "
        f"({config.heatmap_first_px:g}, {config.heatmap_first_px:g}) in the tile."
    )
    return (*located, tensor("heatmap", config.heatmap_cells, ("cell_y", "cell_x"), cells))
