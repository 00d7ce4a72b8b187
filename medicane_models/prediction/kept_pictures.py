"""Pictures of clips that wait on disk, at eight bits."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from medicane_models.files import replacing
from medicane_models.prediction.close_ups import CloseUp

__all__ = [
    "packed_close_ups",
    "packed_picture",
    "store_picture",
    "stored_close_ups",
    "stored_picture",
]


def packed_picture(picture: Float[np.ndarray, "H W 3"]) -> bytes:
    """PNG of a picture of 0…1; what is missing becomes transparent."""
    seen = ~np.isnan(picture).any(axis=-1, keepdims=True)
    pixels = np.dstack([np.where(seen, picture, 0), seen]).clip(0, 1)
    file = BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def store_picture(picture: Float[np.ndarray, "H W 3"], path: Path) -> None:
    """Keep a picture of 0…1 as PNG."""
    with replacing(path) as temporary:
        temporary.write_bytes(packed_picture(picture))


def stored_picture(path: Path) -> Float[np.ndarray, "H W 3"]:
    """What `store_picture` kept, NaN where it is transparent."""
    with Image.open(path) as image:
        pixels = np.asarray(image, dtype=np.float32) / 255
    return np.where(pixels[..., 3:] > 0, pixels[..., :3], np.float32(np.nan))


def packed_close_ups(taken: Sequence[CloseUp]) -> bytes:
    """The close-ups of a clip, at least one, as ``.npz``."""
    places = [(each.lon, each.lat, each.km) for each in taken]
    file = BytesIO()
    np.savez_compressed(file, places=places, pixels=[each.pixels for each in taken])
    return file.getvalue()


def stored_close_ups(path: Path) -> tuple[CloseUp, ...]:
    """What a file of `packed_close_ups` holds."""
    with np.load(path) as kept:
        pairs = zip(kept["places"].tolist(), kept["pixels"], strict=True)
        return tuple(
            CloseUp(lon=lon, lat=lat, km=km, pixels=pixels) for (lon, lat, km), pixels in pairs
        )
