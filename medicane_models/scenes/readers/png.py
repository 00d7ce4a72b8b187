"""Folders of Airmass RGB frames, airmass_rgb_YYYYMMDD_HHMM.png."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32
from PIL import Image

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import SceneError
from medicane_models.files import require_regular
from medicane_models.scenes.readers.channels import AIRMASS
from medicane_models.scenes.readers.recording import (
    RGB,
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    longitude_under,
    time_in_name,
    warn_unreadable,
)

__all__ = ["read_png"]

NAME = re.compile(r"airmass_rgb_\d{8}_\d{4}\.png", re.IGNORECASE)
FULL = (MEDITERRANEAN.width, MEDITERRANEAN.height)
LETTERBOX = (384, 384)
LETTERBOX_ROWS = slice(129, 254)


def letterbox_grid() -> Grid:
    """The area of MEDITERRANEAN, divided into 384 × 125 pixels."""
    width, height = LETTERBOX[0], LETTERBOX_ROWS.stop - LETTERBOX_ROWS.start
    x_step = MEDITERRANEAN.x_step * MEDITERRANEAN.width / width
    y_step = MEDITERRANEAN.y_step * MEDITERRANEAN.height / height
    return Grid(
        crs=MEDITERRANEAN.crs,
        width=width,
        height=height,
        x_origin=MEDITERRANEAN.x_origin + (x_step - MEDITERRANEAN.x_step) / 2,
        y_origin=MEDITERRANEAN.y_origin + (y_step - MEDITERRANEAN.y_step) / 2,
        x_step=x_step,
        y_step=y_step,
    )


def read_png(paths: Sequence[Path], channels: Sequence[str] | None) -> Recording:
    """Frames of the research system: full ones, or shrunk into a letterbox of 384 × 384 pixels.

    Raises:
        SceneError: for other sizes, both sizes mixed, or a request for single channels.
    """
    if channels is not None and list(channels) != [AIRMASS]:
        raise SceneError(
            f"{paths[0].name} has no {', '.join(channels)}; an Airmass PNG holds only {AIRMASS}"
        )
    sizes = {path: size for path in paths if (size := _size(path)) is not None}
    if not sizes:
        raise SceneError(f"none of the {len(paths)} PNG files can be read ({paths[0].name} …)")
    size = _common_size(sizes)
    axes = Axes(MEDITERRANEAN if size == FULL else letterbox_grid(), flip_x=False, flip_y=False)
    return Recording(
        grid=axes.grid,
        layers=RGB,
        frames=tuple(Frame(_time(p), p.name, partial(_pixels, p, axes)) for p in sizes),
        platform="Meteosat",
        sensor="seviri",
        sub_satellite_longitude=longitude_under(MEDITERRANEAN),
        time_convention="end_of_scan",
    )


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height; None, with a warning, if the file is broken."""
    try:
        require_regular(path)
        with Image.open(path) as image:
            return image.size
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        warn_unreadable(path.name, error)
        return None


def _common_size(sizes: dict[Path, tuple[int, int]]) -> tuple[int, int]:
    first, size = next(iter(sizes.items()))
    for path, other in sizes.items():
        if other not in (FULL, LETTERBOX):
            raise SceneError(
                f"{path.name} has {other[0]} × {other[1]} pixels; Airmass frames have "
                f"{FULL[0]} × {FULL[1]}, or {LETTERBOX[0]} × {LETTERBOX[1]} as a letterbox"
            )
        if other != size:
            raise SceneError(
                f"{first.name} has {size[0]} × {size[1]} and {path.name} {other[0]} × {other[1]} "
                "pixels; open them separately"
            )
    return size


def _time(path: Path) -> pd.Timestamp:
    time = time_in_name(path.name)
    if time is None:
        raise SceneError(
            f"{path.name} does not tell its time; Airmass frames are named "
            "airmass_rgb_YYYYMMDD_HHMM.png"
        )
    return time


def _pixels(path: Path, axes: Axes, window: Grid) -> Float32[np.ndarray, "layer y x"]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))  # (height, width, rgb)
    if image.size == LETTERBOX:
        if pixels[: LETTERBOX_ROWS.start].any() or pixels[LETTERBOX_ROWS.stop :].any():
            raise ValueError(
                f"no letterbox of a Mediterranean frame: rows above {LETTERBOX_ROWS.start} and "
                f"below {LETTERBOX_ROWS.stop - 1} should be black"
            )
        pixels = pixels[LETTERBOX_ROWS]
    rows, columns = axes.slices(window)
    return np.moveaxis(pixels[rows, columns], -1, 0).astype(np.float32) / np.float32(255)
