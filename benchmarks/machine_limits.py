"""How fast this machine multiplies float32 matrices and copies memory: the limit of all else.

python -m benchmarks machine_limits
"""

import numpy as np
import torch
from measuring import interleave, keep, matmul, print_table, spread

MEGABYTES = 256
TURNS = 15


def main() -> None:
    """Measure and keep."""
    product, flops = matmul("cpu", torch.float32)
    source = torch.ones(MEGABYTES * 2**18)
    target = torch.empty_like(source)
    seconds = interleave({"matmul": product, "copy": lambda: target.copy_(source)}, TURNS)
    rates = {
        "matmul": flops / 1e9 / np.array(seconds["matmul"]),
        "copy": MEGABYTES * 2**20 / 1e9 / np.array(seconds["copy"]),
    }
    rows = {name: spread(values.tolist()) for name, values in rates.items()}
    print_table([("", "median"), *((name, f"{row['value']:.1f}") for name, row in rows.items())])
    keep("machine_limits", rows, {"turns": TURNS}, "cpu")


if __name__ == "__main__":
    main()
