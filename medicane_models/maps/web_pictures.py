"""Pictures that a page carries inside itself."""

import base64
import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

__all__ = ["data_url", "eight_bits", "webp"]

QUALITY = 72


def eight_bits(picture: Float[np.ndarray, "y x bands"]) -> UInt8[np.ndarray, "y x bands+1"]:
    """A picture of 0…1 at eight bits, with one band more: 0 where it is missing, else 255."""
    seen = np.isfinite(picture).all(axis=-1, keepdims=True)
    values = np.concatenate([np.where(seen, picture, 0), seen], axis=-1)
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def webp(pixels: UInt8[np.ndarray, "y x bands"], *, widest: int) -> bytes:
    """WebP of a picture from `eight_bits`, made smaller if it is wider than so many pixels."""
    bands = 3 if pixels.shape[-1] == 2 else 1
    colours = np.repeat(pixels[..., :-1], bands, axis=-1)
    image = Image.fromarray(np.concatenate([colours, pixels[..., -1:]], axis=-1))
    if pixels[..., -1].all():
        image = image.convert("RGB")
    if image.width > widest:
        image = image.resize((widest, round(widest * image.height / image.width)))
    content = io.BytesIO()
    image.save(content, "webp", quality=QUALITY)
    return content.getvalue()


def data_url(picture: bytes) -> str:
    """What stands for the address of a WebP."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode()
