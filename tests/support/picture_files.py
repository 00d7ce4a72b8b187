"""Tiny grey pictures of known temperatures, and the georeference.yaml beside them."""

from pathlib import Path

import numpy as np
import yaml
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "benchmarks" / "georeferences"
WIDTH, HEIGHT = 40, 30
NAMES = ["20200516_0000.png", "20200516_0600.png", "20200516_1200.png"]
TOLD = {"extent": "10,20,50,50", "kelvin": {45: 295, 255: 190}}


def greys(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (height, width), np.uint8)


def write_pictures(folder, *names, pixels=None):
    """The same picture under each name, or one of the first time; the folder."""
    folder.mkdir(exist_ok=True)
    for name in names or NAMES[:1]:
        Image.fromarray(greys() if pixels is None else pixels).save(folder / name)
    return folder


def georeferenced(folder, told=TOLD, **more):
    """The folder, with a georeference.yaml that says what is told."""
    path = folder / "georeference.yaml"
    path.write_text(yaml.safe_dump({**told, **more}))
    return folder


def temperatures(pixels):
    """The kelvin of greys, as the usual line and ``TOLD`` have them."""
    return 295 - (pixels.astype(np.float64) - 45) / 2


def first_frame(scene):
    return scene["IR_108"].to_numpy()[0]


def example(name):
    """One of the georeferences of real pictures."""
    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
