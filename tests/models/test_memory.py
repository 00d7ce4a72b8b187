import subprocess
import sys

import pytest

RESIDENT = """
import numpy as np
from medicane_models.memory import give_back_free_memory, give_back_large_arrays

def resident_mb():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
"""

KEPT_MB = """
give_back_large_arrays()
np.ones(31 * 2**17)  # of 31 MB, freed at once: glibc learns that blocks of this size come and go
before, pins, frames = resident_mb(), [], []
for _ in range(10):
    frames.append(np.ones(20 * 2**17))
    pins.append(np.ones(2**13))
frames.clear()
print(resident_mb() - before)
"""


PINNED_MB = """
before, pins, layers = resident_mb(), [], []
for _ in range(2000):
    layers.append(np.ones(12_500))
    pins.append(np.ones(200))  # what lives longer
layers.clear()
give_back_free_memory()
print(resident_mb() - before)
"""


@pytest.mark.parametrize("script", [KEPT_MB, PINNED_MB])
def test_what_is_freed_goes_back_to_the_system(script):
    command = [sys.executable, "-c", RESIDENT + script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 50  # of 200
