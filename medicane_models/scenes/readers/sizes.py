"""Sizes that no imager has: a few bytes of a damaged file may ask for more memory than there is."""

from collections.abc import Mapping
from math import prod
from typing import Any

from medicane_models.errors import SceneError

__all__ = ["MOST_ALONG", "refuse_huge"]

MOST_ALONG = 500_000
"""Values along an axis; a frame every five minutes of almost five years."""

MOST_PIXELS = 1 << 29
"""Of a frame; ABI's finest full disk has 471 million."""


def refuse_huge(shapes: Mapping[str, Mapping[Any, int]], file: str) -> None:
    """Refuse a file whose variables are larger than those of any imager.

    Args:
        shapes: of each variable the sizes of its dimensions by name, slowest first.
        file: its name, for messages.

    Raises:
        SceneError: naming the first.
    """
    for name, sizes in shapes.items():
        if (
            max(sizes.values(), default=0) > MOST_ALONG
            or prod([*sizes.values()][-2:]) > MOST_PIXELS
        ):
            listed = " × ".join(f"{size:,} {dimension}" for dimension, size in sizes.items())
            raise SceneError(
                f"{name} of {file} has {listed}, more than a frame of any imager; copy the file "
                "again, or cut it into parts"
            )
