"""Keep freed memory in the process instead of handing it back to the system at every step.

A training step frees and asks again for the same gigabyte. glibc returns large blocks to the
system at once, which then zeroes fresh pages for the next step. Keeping the blocks made a step
on a processor a quarter shorter; asking for huge pages besides gained nothing more and took
0.3 GiB (benchmarks/allocator.py).
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
LARGEST_THRESHOLD: Final = 32 * 2**20
"""Bytes; glibc accepts no larger one."""
NEVER: Final = 2**31 - 1
USUAL_THRESHOLD: Final = 128 * 2**10
"""Bytes; glibc's own."""


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks.

    Returns:
        False where the allocator is not glibc's, and nothing was changed.
    """
    libc = _libc()
    if libc is None:
        return False
    keeps_blocks = libc.mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)
    keeps_heap = libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    return bool(keeps_blocks and keeps_heap)


def give_back_freed_memory() -> None:
    """Tell glibc to hand blocks back as they are freed: the opposite, for when memory is short."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(M_MMAP_THRESHOLD, USUAL_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, USUAL_THRESHOLD)
        libc.malloc_trim(0)


def release_freed_memory() -> None:
    """Hand freed memory back between phases of a run, whose blocks are of other sizes."""
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
