"""glibc allocator settings that keep freed memory in the process between steps.

A training step frees and reallocates the same gigabyte. glibc returns large blocks to the system
immediately, which then zeroes fresh pages for the next step. Keeping the blocks made a CPU step 25%
faster; huge pages gained nothing more and took 0.3 GiB (benchmarks/allocator.py).
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
LARGEST_THRESHOLD: Final = 32 * 2**20
"""Bytes; the maximum that glibc accepts."""
NEVER: Final = 2**31 - 1
USUAL_THRESHOLD: Final = 128 * 2**10
"""Bytes; glibc's default."""


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks.

    Returns:
        False if the allocator is not glibc's and nothing was changed.
    """
    libc = _libc()
    if libc is None:
        return False
    keeps_blocks = libc.mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)
    keeps_heap = libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    return bool(keeps_blocks and keeps_heap)


def return_freed_memory() -> None:
    """Make glibc return freed blocks immediately, for when memory is short."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(M_MMAP_THRESHOLD, USUAL_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, USUAL_THRESHOLD)
        libc.malloc_trim(0)


def release_freed_memory() -> None:
    """Return freed memory to the system between phases of a run, whose block sizes differ."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None)
        _ = libc.gnu_get_libc_version
    except (OSError, AttributeError):
        return None
    return libc
