"""Simulated medicanes as both embedded pairs see them: which one finds more of them, and nearer?

    python benchmarks/simulated_medicanes.py [--storms 60]

Each scene is four hours of the Mediterranean with one medicane at its height in the middle, five
minutes a frame. The Airmass pair reads four channels and 16 frames, the infrared pair one channel
and four frames an hour apart. Both judge the same hours; intervals are over whole storms. Simulated
weather, not real weather. The seeds are none that a model was trained on.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from medicane_models.files import write_json
from medicane_models.hub import AIRMASS_DETECTOR, DETECTOR
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.runtimes.interface import limit_threads
from medicane_models.simulation import simulate_scene
from medicane_models.verification.fixes import judge_run
from medicane_models.verification.matching import Blocks
from medicane_models.verification.scores import error_summary
from medicane_training.scores.intervals import with_intervals

RESULT = Path(__file__).parent / "results" / "simulated_medicanes.json"
FIRST_SEED = 990_000
HOURS = 4.0
JUDGED_FROM = pd.Timedelta(hours=2)  # when clips of both are whole
PAIRS = {"infrared": DETECTOR, "airmass": AIRMASS_DETECTOR}


def judged_fixes(
    predictors: Mapping[str, MedicanePredictor], seed: int
) -> Iterator[dict[str, Any]]:
    """Hits, false alarms and misses of both pairs in one scene."""
    scene, truth = simulate_scene(hours=HOURS, seed=seed)
    storms = truth.rename(columns={"track_id": "storm"})
    first = pd.Timestamp(scene["time"].to_numpy()[0], tz="UTC") + JUDGED_FROM
    for pair, predictor in predictors.items():
        score = judge_run(predictor.predict(scene, start=first), storms)
        for fix in score["fixes"]:
            found, known = pd.notna(fix["track_id"]), pd.notna(fix["storm"])
            yield {
                "pair": pair,
                "storm": seed,
                "outcome": "miss" if not found else "hit" if known else "false",
                "error_km": fix["error_km"],
            }


def scores(fixes: pd.DataFrame) -> dict[str, Any]:
    """Of one pair, with intervals over storms."""
    outcome, error = fixes["outcome"].to_numpy(str), fixes["error_km"].to_numpy(float)

    def summary(rows: np.ndarray) -> dict[str, float]:
        hits, false, missed = (float((outcome[rows] == o).sum()) for o in ("hit", "false", "miss"))
        return {
            "pod": hits / max(hits + missed, 1),
            "far": false / max(hits + false, 1),
            **error_summary(error[rows]),
        }

    counts = {"storms": int(fixes["storm"].nunique()), **fixes["outcome"].value_counts().to_dict()}
    storms = Blocks(fixes["storm"].to_numpy(str), np.full(len(fixes), True))
    return counts | with_intervals(summary, storms)


def main() -> None:
    """Judge the scenes, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storms", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    limit_threads(1)
    pairs = {name: MedicanePredictor.from_pretrained(model) for name, model in PAIRS.items()}
    rows = []
    for number in range(options.storms):
        rows.extend(judged_fixes(pairs, FIRST_SEED + number))
        print(f"{number + 1} of {options.storms} scenes", flush=True)
    fixes = pd.DataFrame(rows)
    found = {pair: scores(own) for pair, own in fixes.groupby("pair")}
    write_json(options.out, {"hours": HOURS, "pairs": found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
