"""What becomes of the memory of arrays that nobody needs any more."""

import ctypes
from contextlib import suppress
from functools import cache
from typing import Any

__all__ = ["give_back_free_memory", "give_back_large_arrays"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, as malloc.h has them
LARGE_BYTES = 2**24


def give_back_large_arrays() -> None:
    """From now on, let arrays from 16 MB on go back to the system as soon as they are freed.

    Left alone, glibc comes to keep blocks of up to 32 MB, between which what lives longer leaves
    gaps: half a gigabyte after some frames of a full disk. Other C libraries are left alone.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, LARGE_BYTES)
        # who sets one sets both; at 128 kB every layer of a network would go back and be asked anew
        mallopt(TRIM_THRESHOLD, 4 * LARGE_BYTES)


def give_back_free_memory() -> None:
    """Let all that is free go back to the system, the gaps between what lives longer as well.

    Tables that are kept pin what a network's layers were computed in: without it every hour of an
    archive leaves 10 MB of gaps, a month 8 GB.
    """
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Any:
    """What gives memory back; None in C libraries other than glibc."""
    with suppress(OSError, AttributeError, TypeError):
        return ctypes.CDLL(None).malloc_trim
    return None
