"""How long making and loading giant take, and how much memory loading takes beside its weights.

python -m benchmarks giant [--size giant]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

from measuring import MEGABYTE, keep, own_peak_memory, print_table

from medicane_models import AutoMedicaneModel
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification

M = TypeVar("M")


def timed(step: Callable[[], M]) -> tuple[float, float, M]:
    """Wall and processor seconds, and what was made."""
    wall, own = time.perf_counter(), time.process_time()
    made = step()
    return time.perf_counter() - wall, time.process_time() - own, made


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="giant")
    parser.add_argument("--load", help="a saved model, whose peak memory is told in MB")
    return parser.parse_args()


def load(folder: str) -> Callable[[], object]:
    """Load a model once; what was loaded is held."""
    model = AutoMedicaneModel.from_pretrained(folder)
    return lambda: model


def main() -> None:
    """Measure and keep."""
    options = arguments()
    if options.load:
        print(own_peak_memory(lambda: load(options.load), "cpu"))
        return
    config = MedicaneConfig.preset(options.size)
    new, new_cpu, model = timed(lambda: MedicaneForVideoClassification(config))
    weights = sum(p.numel() * p.element_size() for p in model.parameters()) / MEGABYTE
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        del model
        loaded, loaded_cpu, _ = timed(lambda: AutoMedicaneModel.from_pretrained(folder))
        command = [sys.executable, __file__, "--load", folder]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = {
        "giant new": {"value": new},
        "giant loaded": {"value": loaded},
        "giant memory": {"value": float(told.split()[-1]) / weights},
    }
    details = {"weights_mb": weights, "new_cpu_s": new_cpu, "loaded_cpu_s": loaded_cpu}
    print_table([("", ""), *((name, f"{row['value']:.2f}") for name, row in rows.items())])
    if options.size == "giant":
        keep("giant", rows, details, "cpu")


if __name__ == "__main__":
    main()
