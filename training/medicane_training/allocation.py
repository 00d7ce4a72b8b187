"""Memory of CPU training."""

import ctypes

__all__ = ["keep_freed_memory"]

# malloc.h of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the C library keep what large tensors free, for the tensors of the next step.

    glibc hands every block above 32 MiB back to the kernel and gets it again page by page, zeroed;
    where that is slow, as in virtual machines, it takes much of a training step. Other C libraries
    are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
