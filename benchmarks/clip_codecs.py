"""What the clip store gives up by not compressing, and by uint8 instead of int16, on real frames.

::

    python benchmarks/clip_codecs.py FILES… --out results.json
"""

import argparse
import json
import time
from pathlib import Path

import numcodecs.blosc
import numpy as np
from numcodecs import Blosc

from medicane_models.scenes.opening import open_scene
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import decode, encode

CHUNK = 64
CODECS = {
    "lz4": Blosc("lz4", 5, Blosc.NOSHUFFLE),
    "lz4, bit shuffle": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    "zstd": Blosc("zstd", 3, Blosc.NOSHUFFLE),
    "zstd, bit shuffle": Blosc("zstd", 3, Blosc.BITSHUFFLE),
}
INT16_LEVELS = 2**15 - 2


def chunks(codes: np.ndarray) -> list[np.ndarray]:
    """Whole chunks of all frames, (T, C, 64, 64) each."""
    rows, columns = (range(0, n - CHUNK + 1, CHUNK) for n in codes.shape[2:])
    parts = [codes[:, :, y : y + CHUNK, x : x + CHUNK] for y in rows for x in columns]
    return [np.ascontiguousarray(part) for part in parts]


def compression(codes: np.ndarray) -> dict[str, dict[str, float]]:
    """Ratio, and GB of pixels decoded a second, of each codec on one thread."""
    numcodecs.blosc.use_threads = False
    raw = chunks(codes)
    size = sum(part.nbytes for part in raw)
    result = {}
    for name, codec in CODECS.items():
        packed = [codec.encode(part) for part in raw]
        began = time.process_time()
        for _ in range(5):
            for part in packed:
                codec.decode(part)
        seconds = (time.process_time() - began) / 5
        result[name] = {
            "ratio": size / sum(map(len, packed)),
            "gb_per_second": size / seconds / 1e9,
        }
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results/clip_codecs.json"
    )
    arguments = parser.parse_args()
    scene, processor = open_scene(arguments.files), MedicaneProcessor.airmass()
    count = scene.sizes["time"]
    frames = np.stack([processor.stretch(scene.isel(time=n).compute()) for n in range(count)])
    wide = np.rint(frames * INT16_LEVELS).astype(np.int16)
    result = {
        "frames": count,
        "pixels": list(frames.shape[2:]),
        "deviation_of_the_bands": np.nanstd(frames, axis=(0, 2, 3)).tolist(),
        "rms_error": {
            "uint8": float(np.sqrt(np.nanmean((decode(encode(frames)) - frames) ** 2))),
            "int16": float(np.sqrt(np.nanmean((wide / INT16_LEVELS - frames) ** 2))),
        },
        "uint8": compression(encode(frames)),
        "int16": compression(wide),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
