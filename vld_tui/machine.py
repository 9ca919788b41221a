"""How busy this machine is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

GIB: Final = 2**30


@dataclass(frozen=True)
class MachineLoad:
    """How busy the machine is: shares from 0 to 1, memory and disk in GiB."""

    cpu_share: float
    memory_gib: float
    memory_total_gib: float
    disk_left_gib: float

    @classmethod
    def measure(cls, folder: Path) -> MachineLoad:
        """Measure it now; the processor's share is since the last call."""
        memory = psutil.virtual_memory()
        return cls(
            cpu_share=psutil.cpu_percent() / 100,
            memory_gib=(memory.total - memory.available) / GIB,
            memory_total_gib=memory.total / GIB,
            disk_left_gib=shutil.disk_usage(folder).free / GIB,
        )
