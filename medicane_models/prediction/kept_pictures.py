"""Pictures of clips that wait on disk, at eight bits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from medicane_models.files import replacing
from medicane_models.prediction.close_ups import CloseUp

__all__ = ["store_close_ups", "store_picture", "stored_close_ups", "stored_picture"]


def store_picture(picture: Float[np.ndarray, "H W 3"], path: Path) -> None:
    """Keep a picture of 0…1 as PNG; what is missing becomes transparent."""
    seen = ~np.isnan(picture).any(axis=-1, keepdims=True)
    pixels = np.dstack([np.where(seen, picture, 0), seen]).clip(0, 1)
    with replacing(path) as temporary:
        Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(temporary, compress_level=1)


def stored_picture(path: Path) -> Float[np.ndarray, "H W 3"]:
    """What `store_picture` kept, NaN where it is transparent."""
    with Image.open(path) as image:
        pixels = np.asarray(image, dtype=np.float32) / 255
    return np.where(pixels[..., 3:] > 0, pixels[..., :3], np.float32(np.nan))


def store_close_ups(taken: Sequence[CloseUp], path: Path) -> None:
    """Keep the close-ups of a clip, at least one, as ``.npz``."""
    places = [(each.lon, each.lat, each.km) for each in taken]
    with replacing(path) as temporary:
        np.savez_compressed(temporary, places=places, pixels=[each.pixels for each in taken])


def stored_close_ups(path: Path) -> tuple[CloseUp, ...]:
    """What `store_close_ups` kept."""
    with np.load(path) as kept:
        pairs = zip(kept["places"].tolist(), kept["pixels"], strict=True)
        return tuple(
            CloseUp(lon=lon, lat=lat, km=km, pixels=pixels) for (lon, lat, km), pixels in pairs
        )
