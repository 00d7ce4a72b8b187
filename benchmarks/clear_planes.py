"""Which planes can be left out, or looked at once instead of from eight sides?

    python -m benchmarks clear_planes STORE [--detector DIR]

Of the newest frame of every real plane of a store (``benchmarks/storm_store.py``) it is asked how
cold the coldest 60 km are: anywhere, or within the middle, since planes overlap by half and a storm
lies in the middle half of one of them. A plane that is warmer than a threshold would be left out.
Printed is how many planes with a storm would be lost, by the storm's wind, and what share of all
weather, by its weights, would be spared the detector. What is not seen counts as cold. The kelvin
of grey pictures are a guess, those of storms of unknown wind (``?``) nearly all.

Then every plane is judged by the detector, from one side and from all. Of the planes that all sides
together call a cyclone, or nearly one, lost are those that the first gives less than a share of the
threshold; spared is the weather that it gives less.

No temperature is safe and worth having: those that lose no storm spare a fiftieth of the planes,
and where cyclones live, some cloud of every square of 1120 km is cold. A glance is both:
``medicane predict`` looks from one side first (``medicane_models/prediction/run.py``).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from measuring import report
from scipy import ndimage

from medicane_models.hub import DETECTOR
from medicane_models.network.averaging import VIEWS, average_classification
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.network.stems import with_folded_norms
from medicane_models.prediction.results import CONTINUE
from medicane_models.runtimes.interface import cyclone_index
from medicane_training.clips.dataset import ClipDataset
from medicane_training.store.clip_store import ClipStore, decode
from medicane_training.store.cloud_bands import CloudBand
from medicane_training.store.labels import CYCLONE, NO_CYCLONE

BATCH = 32
COLD_PIXELS = 6  # of 10 km
REACHES = {"anywhere": 56, "in the middle 720 km": 36, "in the middle 560 km": 28}  # in pixels
KELVIN = (230.0, 240.0, 250.0, 260.0)
WINDS = (0, 34, 64, 83, 300)
GLANCES = (0.05, 0.1, 0.2, 0.3, 0.5)  # of the threshold
CLASSES = ["< 34 kt", "34 … 63 kt", "64 … 82 kt", "≥ 83 kt"]


def main() -> None:
    """Measure all planes, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--detector", default=DETECTOR)
    options = parser.parse_args()
    store = ClipStore(options.store)
    planes = measured(store)
    rows = list(outcomes(planes))
    judged, threshold = judged_planes(store, options.detector)
    glances = list(outcomes_of_glances(judged, threshold))
    told = [("coldest 60 km", "warmer than", *CLASSES, "?", "spared")]
    told += [(row["where"], f"{row['kelvin']:g} K", *_cells(row)) for row in rows]
    told += [(f"one view, {row['of']}", f"{row['share']:g} θ", *_cells(row)) for row in glances]
    report("clear_planes", {"planes": len(planes), "outcomes": rows, "glances": glances}, told)


def measured(store: ClipStore) -> pd.DataFrame:
    """The index of a store's real planes, with the coldest 60 km within each reach."""
    clips = store.clips
    real = np.flatnonzero((clips["dataset"] != "simulated") & (clips["label"] >= NO_CYCLONE))
    band = CloudBand.of(store.processor)
    coldest = [
        coldest_within(band.kelvin(decode(store.read(int(clip), frames=[-1])))[0]) for clip in real
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
        classes = wind_classes(held)
        for kelvin in KELVIN:
            lost, spared = held[where] > kelvin, calm[where] > kelvin
            yield {
                "where": where,
                "kelvin": kelvin,
                "lost": lost.groupby(classes).sum().to_dict(),
                "of_storms": lost.groupby(classes).size().to_dict(),
                "spared": float(np.average(spared, weights=calm["weight"])),
                "spared_of": spared.groupby(calm["dataset"]).mean().to_dict(),
            }


def wind_classes(storms: pd.DataFrame) -> pd.Series:
    """The class of wind of each; ``?`` where nobody knows it."""
    wind = pd.Series(pd.cut(storms["wind_kt"], WINDS, right=False, labels=CLASSES))
    return wind.astype(object).fillna("?")


def judged_planes(store: ClipStore, detector: str) -> tuple[pd.DataFrame, float]:
    """The index of a store's real planes with their probabilities, and the detector's threshold."""
    model = MedicaneForVideoClassification.from_pretrained(detector)
    folded, cyclone = with_folded_norms(model.eval()), cyclone_index(model.config)
    views, dataset, found = VIEWS[model.config.views], ClipDataset(store), []
    clips = store.clips
    real = np.flatnonzero((clips["dataset"] != "simulated") & (clips["label"] >= NO_CYCLONE))
    for some in np.array_split(real, -(-len(real) // BATCH)):
        pixels = dataset.__getitems__(some.tolist()).pixel_values(store.processor)[0]
        with torch.inference_mode():
            looks = [average_classification(folded, pixels, seen) for seen in (views[:1], views)]
        found.append(np.stack([look.probabilities[:, cyclone].numpy() for look in looks], axis=1))
    told = pd.DataFrame(np.concatenate(found), columns=["glance", "probability"])
    return clips.iloc[real].reset_index(drop=True).join(told), model.config.threshold


def outcomes_of_glances(planes: pd.DataFrame, threshold: float) -> Iterator[dict[str, Any]]:
    """What each share of the threshold would lose, of what is found and of what is hardly found."""
    storms, calm = (planes.loc[planes["label"] == label] for label in (CYCLONE, NO_CYCLONE))
    for part, least in (("found", threshold), ("nearly found", CONTINUE * threshold)):
        held = storms.loc[storms["probability"] >= least]
        classes = wind_classes(held)
        for share in GLANCES:
            lost, spared = (one["glance"] < share * threshold for one in (held, calm))
            false = calm["probability"] >= least
            yield {
                "of": part,
                "share": share,
                "lost": lost.groupby(classes).sum().to_dict(),
                "of_storms": lost.groupby(classes).size().to_dict(),
                "false_alarms_lost": int((spared & false).sum()),
                "of_false_alarms": int(false.sum()),
                "spared": float(np.average(spared, weights=calm["weight"])),
            }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    lost = (
        f"{row['lost'].get(name, 0)}/{row['of_storms'].get(name, 0)}" for name in (*CLASSES, "?")
    )
    return (*lost, f"{row['spared']:.1%}")


if __name__ == "__main__":
    main()
