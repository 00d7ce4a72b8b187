import subprocess
import sys

KEPT_MB = """
import numpy as np
from medicane_models.memory import give_back_large_arrays

def resident_mb():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

give_back_large_arrays()
np.ones(31 * 2**17)  # of 31 MB, freed at once: glibc learns that blocks of this size come and go
before, pins, frames = resident_mb(), [], []
for _ in range(10):
    frames.append(np.ones(20 * 2**17))
    pins.append(np.ones(2**13))
frames.clear()
print(resident_mb() - before)
"""


def test_frames_that_are_freed_go_back_to_the_system():
    command = [sys.executable, "-c", KEPT_MB]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 50  # of 200
