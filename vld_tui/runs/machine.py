"""The load of this machine."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

GIB: Final = 2**30


@dataclass(frozen=True)
class GpuLoad:
    """The load of a GPU: utilisation from 0 to 1, memory in GiB."""

    share: float
    memory_gib: float
    memory_total_gib: float


@dataclass(frozen=True)
class MachineLoad:
    """The load of the machine: utilisation from 0 to 1, memory and disk in GiB."""

    cpu_share: float
    memory_gib: float
    memory_total_gib: float
    disk_left_gib: float
    gpus: tuple[GpuLoad, ...] = ()

    @classmethod
    def measure(cls, folder: Path) -> MachineLoad:
        """Measure the load; the processor's utilisation is since the last call."""
        memory = psutil.virtual_memory()
        return cls(
            cpu_share=psutil.cpu_percent() / 100,
            memory_gib=(memory.total - memory.available) / GIB,
            memory_total_gib=memory.total / GIB,
            disk_left_gib=shutil.disk_usage(folder).free / GIB,
            gpus=tuple(load for gpu in _gpus() if (load := _gpu_load(gpu)) is not None),
        )


@functools.cache
def _gpus() -> tuple[Any, ...]:
    """Return NVML's handles of this machine's GPUs; empty without a driver."""
    import pynvml  # loads the driver's library

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return tuple(pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count))
    except pynvml.NVMLError:
        return ()


def _gpu_load(gpu: Any) -> GpuLoad | None:
    """Measure a GPU's load, or return None if unavailable."""
    import pynvml

    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        share = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100
    except pynvml.NVMLError:
        return None
    return GpuLoad(share, memory.used / GIB, memory.total / GIB)
