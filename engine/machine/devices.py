"""Devices of this machine: names, memory, and recognition of out-of-memory errors."""

from __future__ import annotations

import platform
import re
import resource
from typing import Final

import psutil
import torch

from engine.errors import InputError
from engine.machine.processor import cpu_name
from engine.protocol.recipes import unknown_device
from engine.text import format_size

_UNITS: Final = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WANTED: Final = re.compile(r"allocate ([\d.]+) ?(bytes|KiB|MiB|GiB)", re.IGNORECASE)
_SIGNS: Final = (
    "can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc",
    "Insufficient memory",
)  # fmt: skip


def available_devices() -> list[str]:
    """Return the names that ``--device`` accepts on this machine, best first."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device called ``name``; ``auto`` is the best available one.

    ``local_rank``: index of the GPU to use if ``name`` gives none.

    Raises:
        InputError: if there is no such device; names the available ones.
    """
    available = available_devices()
    if name == "auto" and not available[0].startswith("cuda"):
        return torch.device(available[0])
    gpu = f"cuda:{local_rank}"
    if name in ("auto", "cuda") and gpu in available:
        return torch.device(gpu)
    if name in available:
        return torch.device(name)
    raise InputError(unknown_device(name, available))


def device_name(device: torch.device) -> str:
    """Return the device's human-readable name, such as its model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.machine()}"
    return cpu_name()


def gpu_uuids(device: torch.device, ranks: int = 1) -> list[str]:
    """Return the identifiers, as NVIDIA's driver knows them, of the GPUs of this machine's ranks.

    ``device`` is that of one rank; empty if it is no CUDA device.
    """
    if device.type != "cuda":
        return []
    devices: list[torch.device | int] = [device] if ranks == 1 else list(range(ranks))
    properties = (torch.cuda.get_device_properties(each) for each in devices)
    return [f"GPU-{each.uuid}" for each in properties if hasattr(each, "uuid")]


def synchronize(device: torch.device) -> None:
    """Wait for all queued work on the device, for correct timing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch, numpy or OpenCV means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)


def requested_bytes(error: BaseException) -> int | None:
    """Return the size of the allocation that failed, if the error states it."""
    found = _WANTED.search(str(error))
    if found is None:
        return None
    unit = next(each for each in _UNITS if each.lower() == found[2].lower())
    return int(float(found[1]) * _UNITS[unit])


def describe_memory(device: torch.device) -> str:
    """Return a text on how much memory a device has and how much is free."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return _free_of(free, total)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        return f"the process is limited to {format_size(limit)} (ulimit -v)"
    memory = psutil.virtual_memory()
    return _free_of(memory.available, memory.total)


def _free_of(free: int, total: int) -> str:
    return f"{format_size(free)} of {format_size(total)} are free without this run"
