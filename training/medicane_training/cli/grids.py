"""What --domain means to a store that is filled."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medicane_models.domain import Grid
    from medicane_models.scenes.processing import MedicaneProcessor


def grid_of(domain: str, default: "Grid") -> "Grid":
    """The grid of a box, or for model the default."""
    from medicane_models.domain import parse_box

    return default if domain == "model" else parse_box(domain, default)


def store_grid(
    domain: str,
    processor: "MedicaneProcessor",
    scenes: Sequence[str],
    *,
    extent: str | None,
    reader: str | None,
) -> "Grid":
    """The grid of the domain; native is that of the first scene."""
    if domain != "native":
        return grid_of(domain, processor.grid)
    from medicane_models.scenes.opening import open_scene, scene_grid, scene_sources
    from medicane_training.store.build import channels_of

    first = scene_sources(scenes, reader)[0]
    channels = channels_of(processor)
    return scene_grid(open_scene(first, channels=channels, extent=extent, reader=reader))
