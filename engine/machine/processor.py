"""The CPU this process runs on, its load, and the process's memory; no torch needed.

glibc's allocator is set to keep freed memory in the process between steps. A training step frees
and reallocates the same gigabyte. glibc returns large blocks to the system immediately, which then
zeroes fresh pages for the next step. Keeping the blocks made a CPU step 25% faster; huge pages
gained nothing more and took 0.3 GiB (benchmarks/allocator.py).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil

NEEDED_SHARE: Final = 0.85
"""Fraction of its cores that a process must have had to itself to be undisturbed."""
TICK_S: Final = 0.01
"""Approximate resolution of the system's CPU time."""
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
LARGEST_THRESHOLD: Final = 32 * 2**20
"""Bytes; the maximum that glibc accepts."""
NEVER: Final = 2**31 - 1
USUAL_THRESHOLD: Final = 128 * 2**10
"""Bytes; glibc's default."""


def cpu_name() -> str:
    """Return the CPU's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Return the peak resident size of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory_bytes() -> int:
    """Return the memory that this process could still use without swapping."""
    return int(psutil.virtual_memory().available)


class OtherPrograms:
    """CPU time that other programs use on this process's cores, from its creation on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy_s, self._own_s = _busy_s(), _own_s()

    def disturbed(self, threads: int) -> bool:
        """Return whether other programs left too few cores for ``threads`` threads."""
        elapsed_s = time.perf_counter() - self._began
        if self._busy_s is None or elapsed_s < 10 * TICK_S:
            return False
        others_s = (_busy_s() or 0.0) - self._busy_s - (_own_s() - self._own_s)
        free = usable_cores() - others_s / elapsed_s
        return free < NEEDED_SHARE * min(threads, usable_cores())


def _busy_s() -> float | None:
    """Return the busy seconds of the usable cores; None if unknown."""
    try:
        cores = psutil.cpu_times(percpu=True)
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(cores))
        return sum(sum(_work(cores[core])) for core in usable)
    except (OSError, psutil.Error, IndexError):
        return None


def _work(core: Any) -> list[float]:
    """Return the busy parts of a core's time; guest time is included in other parts."""
    idle = ("idle", "iowait", "guest", "guest_nice")
    return [seconds for part, seconds in core._asdict().items() if part not in idle]


def _own_s() -> float:
    return time.process_time()


def let_waiting_threads_sleep() -> None:
    """Make waiting threads sleep, not spin; torch reads this once, when it loads.

    With any other busy process, spinning made a step six times slower (docs/recipe.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
