"""The machine a run computes on: devices, their names and what they can do."""

from __future__ import annotations

import platform

import torch

from engine.errors import InputError
from engine.machine.processor import cpu_name
from engine.protocol import nearest


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
