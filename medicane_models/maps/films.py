"""MP4 or, where there is no encoder, GIF, from frames as they come."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from medicane_models.errors import MissingExtraError, require
from medicane_models.files import replacing

__all__ = ["FilmFrame", "write_film"]

FRAMES_A_SECOND = 6
LAST_FRAMES = 8  # how often the last one is shown

FilmFrame = UInt8[np.ndarray, "y x 3"]


def write_film(stem: Path, frames: Iterator[FilmFrame]) -> Path:
    """Write frames of one even size, of which there is at least one, into ``stem`` with a suffix.

    Returns:
        The MP4, or a GIF if imageio-ffmpeg (extra ``plots``) or its encoder is missing.
    """
    encoder = _encoder()
    path = stem.with_name(stem.name + (".gif" if encoder is None else ".mp4"))
    with replacing(path) as temporary:
        if encoder is None:
            _write_gif(temporary, frames)
        else:
            _write_mp4(temporary, frames, encoder)
    return path


def _encoder() -> Any:
    """The module that encodes; None if there is none."""
    try:
        module = require("imageio_ffmpeg", "plots")
        module.get_ffmpeg_exe()
    except (MissingExtraError, RuntimeError):
        return None
    return module


def _write_mp4(path: Path, frames: Iterator[FilmFrame], encoder: Any) -> None:
    first = next(frames)
    height, width, _ = first.shape
    film = encoder.write_frames(
        str(path), (width, height), fps=FRAMES_A_SECOND, macro_block_size=2, quality=7
    )
    film.send(None)
    count = 0
    with closing(film):
        for frame in _lingering(first, frames):
            with _in_short():
                film.send(frame.tobytes())
            count += 1
    with _in_short():  # the encoder does not tell that it could not write
        if encoder.count_frames_and_secs(str(path))[0] != count:
            raise OSError


def _lingering(last: FilmFrame, frames: Iterator[FilmFrame]) -> Iterator[FilmFrame]:
    """A frame and those after it, the last one for a while."""
    for frame in frames:
        yield last
        last = frame
    yield from [last] * LAST_FRAMES


@contextmanager
def _in_short() -> Iterator[None]:
    """The encoder's errors print all that it has to say."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise OSError("the encoder could not write all frames") from error


def _write_gif(path: Path, frames: Iterator[FilmFrame]) -> None:
    few = {"method": Image.Quantize.FASTOCTREE, "dither": Image.Dither.NONE}
    pictures = [Image.fromarray(frame).quantize(**few) for frame in frames]
    once = 1000 // FRAMES_A_SECOND
    pause = [*[once] * (len(pictures) - 1), LAST_FRAMES * once]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=pause, loop=0)
