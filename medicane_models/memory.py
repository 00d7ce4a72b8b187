"""What becomes of the memory of arrays that nobody needs any more."""

import ctypes
from contextlib import suppress

__all__ = ["give_back_large_arrays"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, as malloc.h has them
LARGE_BYTES = 2**24


def give_back_large_arrays() -> None:
    """From now on, let arrays from 16 MB on go back to the system as soon as they are freed.

    Left alone, glibc comes to keep blocks of up to 32 MB, between which what lives longer leaves
    gaps: half a gigabyte after some frames of a full disk. Other C libraries are left alone.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, LARGE_BYTES)
        # who sets one sets both; at 128 kB every layer of a network would go back and be asked anew
        mallopt(TRIM_THRESHOLD, 4 * LARGE_BYTES)
