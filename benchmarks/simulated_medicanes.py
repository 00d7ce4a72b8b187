"""Simulated medicanes as several pairs see them: which one finds more of them, and nearer?

    python benchmarks/simulated_medicanes.py [--storms 60] [--pair NAME=DETECTOR,TRACKER …]

Each scene is four hours of the Mediterranean with one medicane near its height, five minutes a
frame, and each pair judges the last of them with the frames before that it reads. Intervals are
over storms. Simulated weather, not real weather. The seeds are none that a model was trained on.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from medicane_models.files import write_json
from medicane_models.hub import (
    AIRMASS_DETECTOR,
    AIRMASS_TRACKER,
    DETECTOR,
    TILE_DETECTOR,
    TILE_TRACKER,
    TRACKER,
)
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.runtimes.interface import limit_threads
from medicane_models.simulation import Instrument, simulate_scene
from medicane_models.times import TIME_FORMAT, utc
from medicane_models.verification.fixes import judge_run
from medicane_models.verification.matching import Blocks, read_truth
from medicane_models.verification.scores import error_summary
from medicane_training.scores.intervals import with_intervals

RESULT = Path(__file__).parent / "results" / "simulated_medicanes.json"
FIRST_SEED = 990_000
HOURS = 4.0
PAIRS = {
    "infrared": (DETECTOR, TRACKER),
    "airmass": (AIRMASS_DETECTOR, AIRMASS_TRACKER),
    "fixed tiles": (TILE_DETECTOR, TILE_TRACKER),
}


def judged_fixes(
    predictors: Mapping[str, MedicanePredictor], seed: int
) -> Iterator[dict[str, Any]]:
    """Hits, false alarms and misses of each pair in one scene."""
    whole = Instrument(missing_frames=0.0)  # or there may be nothing to judge
    scene, truth = simulate_scene(hours=HOURS, instrument=whole, seed=seed)
    with TemporaryDirectory() as folder:
        truth.to_csv(Path(folder) / "truth.csv", index=False, date_format=TIME_FORMAT)
        storms = read_truth(Path(folder) / "truth.csv")
    last = utc(scene["time"].to_numpy()[-1])
    for pair, predictor in predictors.items():
        score = judge_run(predictor.predict(scene, start=last), storms)
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

    counts = {"storms": len(set(fixes["storm"])), **Counter(outcome.tolist())}
    storms = Blocks(fixes["storm"].to_numpy(str), np.full(len(fixes), True))
    return counts | with_intervals(summary, storms)


def main() -> None:
    """Judge the scenes, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storms", type=int, default=60)
    parser.add_argument("--pair", dest="pairs", action="append", metavar="NAME=DETECTOR,TRACKER")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    limit_threads(1)
    asked = PAIRS
    if options.pairs:
        named = (pair.split("=", 1) for pair in options.pairs)
        asked = {name: models.split(",") for name, models in named}
    pairs = {name: MedicanePredictor.from_pretrained(*models) for name, models in asked.items()}
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
