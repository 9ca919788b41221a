"""The load of this machine."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from engine.rundir.usage import GIB, GpuUse, gpu_use, gpus

SHORTEST_S: Final = 0.2
"""Minimum seconds over which the processor's utilisation is measured."""


@dataclass(frozen=True)
class MachineLoad:
    """The load of the machine: utilisation from 0 to 1, memory and disk in GiB.

    ``cpu_share`` is None until the processor has been observed for a moment.
    """

    cpu_share: float | None
    memory_gib: float
    memory_total_gib: float
    disk_left_gib: float
    gpus: tuple[GpuUse, ...] = ()

    @classmethod
    def measure(cls, folder: Path) -> MachineLoad:
        """Measure the load; the processor's utilisation is since the last call."""
        memory = psutil.virtual_memory()
        return cls(
            cpu_share=_processor.share(),
            memory_gib=(memory.total - memory.available) / GIB,
            memory_total_gib=memory.total / GIB,
            disk_left_gib=shutil.disk_usage(folder).free / GIB,
            gpus=tuple(use for gpu in gpus() if (use := gpu_use(gpu)) is not None),
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
