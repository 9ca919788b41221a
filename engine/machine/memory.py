"""Memory that could not be had: how to tell it from other errors, and how much there is."""

from __future__ import annotations

import re
import resource
from typing import Final

import psutil
import torch

from engine.text import size_in_words

_UNITS: Final = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WANTED: Final = re.compile(r"allocate ([\d.]+) ?(bytes|KiB|MiB|GiB)", re.IGNORECASE)
_SIGNS: Final = (
    "can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc",
    "Insufficient memory",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of torch, numpy or OpenCV means that memory could not be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)


def wanted_bytes(error: BaseException) -> int | None:
    """Return the size of the block that could not be had, where the error tells."""
    found = _WANTED.search(str(error))
    if found is None:
        return None
    unit = next(each for each in _UNITS if each.lower() == found[2].lower())
    return int(float(found[1]) * _UNITS[unit])


def memory_there_is(device: torch.device) -> str:
    """Say how much memory a device has and how much of it is free."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return _free_of(free, total)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        return f"the process may have {size_in_words(limit)} (ulimit -v)"
    memory = psutil.virtual_memory()
    return _free_of(memory.available, memory.total)


def _free_of(free: int, total: int) -> str:
    return f"without this run {size_in_words(free)} of {size_in_words(total)} are free"
