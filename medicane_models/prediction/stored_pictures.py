"""Pictures of clips that wait on disk, at eight bits, until they are drawn."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from medicane_models.files import replacing

__all__ = ["packed_picture", "store_picture", "stored_picture"]


def packed_picture(picture: Float[np.ndarray, "H W 3"]) -> bytes:
    """PNG of a picture in 0…1; what is missing, NaN, becomes transparent."""
    seen = ~np.isnan(picture).any(axis=-1, keepdims=True)
    pixels = np.dstack([np.where(seen, picture, 0), seen]).clip(0, 1)
    file = BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def store_picture(picture: Float[np.ndarray, "H W 3"], path: Path) -> None:
    """Keep a picture in a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(packed_picture(picture))


def stored_picture(path: Path) -> np.ndarray:
    """What `store_picture` kept, NaN where it is transparent."""
    with Image.open(path) as image:
        pixels = np.asarray(image, dtype=np.float32) / 255
    return np.where(pixels[..., 3:] > 0, pixels[..., :3], np.float32(np.nan))
