"""Could planes without cold cloud be left out, before a detector looks at them?

    python -m benchmarks clear_planes STORE

Of the newest frame of every real plane of a store (``benchmarks/storm_store.py``) it is asked how
cold the coldest 60 km are: anywhere, or within the middle, since planes overlap by half and a storm
lies in the middle half of one of them. A plane that is warmer than a threshold would be left out.
Printed is how many planes with a storm would be lost, by the storm's wind, and what share of all
weather, by its weights, would be spared the detector. What is not seen counts as cold. The kelvin
of grey pictures are a guess, those of storms of unknown wind (``?``) nearly all.

Thresholds that lose no storm spare a fiftieth of the planes, and those that spare a sixth lose one
in a hundred of the weak storms: where cyclones live, some cloud of every square of 1120 km is cold.
``medicane predict`` therefore looks at every plane.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from measuring import report
from scipy import ndimage

from medicane_training.store.clip_store import ClipStore
from medicane_training.store.hardness import decoded_kelvin
from medicane_training.store.labels import CYCLONE, NO_CYCLONE

COLD_PIXELS = 6  # of 10 km
REACHES = {"anywhere": 56, "in the middle 720 km": 36, "in the middle 560 km": 28}  # in pixels
KELVIN = (230.0, 240.0, 250.0, 260.0)
WINDS = (0, 34, 64, 83, 300)
CLASSES = ["< 34 kt", "34 … 63 kt", "64 … 82 kt", "≥ 83 kt"]


def main() -> None:
    """Measure all planes, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    planes = measured(ClipStore(parser.parse_args().store))
    rows = list(outcomes(planes))
    head = ("coldest 60 km", "warmer than", *CLASSES, "?", "spared")
    told = [(row["where"], f"{row['kelvin']:g} K", *_cells(row)) for row in rows]
    report("clear_planes", {"planes": len(planes), "outcomes": rows}, [head, *told])


def measured(store: ClipStore) -> pd.DataFrame:
    """The index of a store's real planes, with the coldest 60 km within each reach."""
    clips = store.clips
    real = np.flatnonzero((clips["dataset"] != "simulated") & (clips["label"] >= NO_CYCLONE))
    band = store.processor.bands[0]
    coldest = [
        coldest_within(decoded_kelvin(store.read(int(clip), frames=[-1])[0, 0], band))
        for clip in real
    ]
    return clips.iloc[real].reset_index(drop=True).join(pd.DataFrame(coldest))


def coldest_within(kelvin: Float[np.ndarray, "H W"]) -> dict[str, float]:
    """Kelvin of the coldest 60 km within each reach from the middle."""
    seen = np.where(np.isnan(kelvin), 0.0, kelvin)
    means, middle = ndimage.uniform_filter(seen, COLD_PIXELS, mode="nearest"), len(kelvin) // 2
    parts = {name: slice(middle - reach, middle + reach) for name, reach in REACHES.items()}
    return {name: float(means[part, part].min()) for name, part in parts.items()}


def outcomes(planes: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What each threshold would lose and spare."""
    storms, calm = (planes.loc[planes["label"] == label] for label in (CYCLONE, NO_CYCLONE))
    inside = (storms[["target_x", "target_y"]] - 55.5).abs().max(axis=1) <= REACHES[
        "in the middle 560 km"
    ]
    for where in REACHES:
        held = storms if where == "anywhere" else storms.loc[inside]
        wind = pd.Series(pd.cut(held["wind_kt"], WINDS, right=False, labels=CLASSES))
        classes = wind.astype(object).fillna("?")
        for kelvin in KELVIN:
            lost, spared = held[where] > kelvin, calm[where] > kelvin
            yield {
                "where": where,
                "kelvin": kelvin,
                "lost": lost.groupby(classes).sum().to_dict(),
                "of": lost.groupby(classes).size().to_dict(),
                "spared": float(np.average(spared, weights=calm["weight"])),
                "spared_of": spared.groupby(calm["dataset"]).mean().to_dict(),
            }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    lost = (f"{row['lost'][name]}/{row['of'][name]}" for name in (*CLASSES, "?"))
    return (*lost, f"{row['spared']:.1%}")


if __name__ == "__main__":
    main()
