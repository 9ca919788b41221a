"""Devices of the machine a run computes on: names, memory and running out of it."""

from __future__ import annotations

import platform
import re
import resource
from typing import Final

import psutil
import torch

from engine.errors import InputError
from engine.machine.processor import cpu_name
from engine.protocol import nearest
from engine.text import size_in_words

_UNITS: Final = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WANTED: Final = re.compile(r"allocate ([\d.]+) ?(bytes|KiB|MiB|GiB)", re.IGNORECASE)
_SIGNS: Final = (
    "can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc",
    "Insufficient memory",
)  # fmt: skip


def available_devices() -> list[str]:
    """Return the names ``--device`` takes on this machine, the best first."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device called ``name``; ``auto`` is the best one here.

    ``local_rank``: which of the GPUs, where none is named, because others are for other ranks.

    Raises:
        InputError: naming what this machine has.
    """
    available = available_devices()
    if name == "auto" and not available[0].startswith("cuda"):
        return torch.device(available[0])
    gpu = f"cuda:{local_rank}"
    if name in ("auto", "cuda") and gpu in available:
        return torch.device(gpu)
    if name in available:
        return torch.device(name)
    raise InputError(
        f"There is no device {name!r} on this machine; it has {', '.join(available)}."
        f"{nearest(name, ['auto', *available])}"
    )


def device_name(device: torch.device) -> str:
    """Return what a person calls the device, such as its model name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.machine()}"
    return cpu_name()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given, so that clocks tell the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


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
