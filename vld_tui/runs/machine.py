"""The load of this machine."""

from __future__ import annotations

import functools
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

GIB: Final = 2**30
SHORTEST_S: Final = 0.2
"""Minimum seconds over which the processor's utilisation is measured."""


@dataclass(frozen=True)
class GpuLoad:
    """The load of a GPU: utilisation from 0 to 1, memory in GiB."""

    share: float
    memory_gib: float
    memory_total_gib: float


@dataclass(frozen=True)
class MachineLoad:
    """The load of the machine: utilisation from 0 to 1, memory and disk in GiB.

    ``cpu_share`` is None until the processor has been observed for a moment.
    """

    cpu_share: float | None
    memory_gib: float
    memory_total_gib: float
    disk_left_gib: float
    gpus: tuple[GpuLoad, ...] = ()

    @classmethod
    def measure(cls, folder: Path) -> MachineLoad:
        """Measure the load; the processor's utilisation is since the last call."""
        memory = psutil.virtual_memory()
        return cls(
            cpu_share=_processor.share(),
            memory_gib=(memory.total - memory.available) / GIB,
            memory_total_gib=memory.total / GIB,
            disk_left_gib=shutil.disk_usage(folder).free / GIB,
            gpus=tuple(load for gpu in _gpus() if (load := _gpu_load(gpu)) is not None),
        )


class _Processor:
    """The processor's utilisation since the last measurement."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._share: float | None = None

    def share(self) -> float | None:
        """Return the utilisation, None for the first moment, when psutil always returns 0."""
        now = time.monotonic()
        if now - self._since >= SHORTEST_S:
            is_first, self._since = self._since == -math.inf, now
            share = psutil.cpu_percent() / 100
            self._share = None if is_first else share
        return self._share


_processor: Final = _Processor()


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
