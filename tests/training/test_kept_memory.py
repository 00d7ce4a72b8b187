import subprocess
import sys

import pytest

BLOCK = 64 << 20
FAULTS = """
import resource, sys
from medicane_training.ranks import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(10):
    b"x" * int(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_large_blocks_are_used_again():
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", FAULTS, how, str(BLOCK)]))
        for how in ("kept", "default")
    }
    pages = BLOCK // 4096
    assert faults["default"] - faults["kept"] > 5 * pages
