"""What processes, this machine and its GPUs use at a moment."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

GIB: Final = 2**30
NOT_WORK: Final = ("idle", "iowait", "guest", "guest_nice")
"""Parts of a processor's time in which it does no work, or that other parts include."""


class ProcessUse(NamedTuple):
    """Processor time (s) of a process and its descendants, and their resident memory (GiB)."""

    cpu_s: float
    memory_gib: float


def process_use(pid: int, *, with_children: bool = True) -> ProcessUse | None:
    """Return what a process and its descendants use; None if it has ended or is not accessible.

    Finding descendants reads every process of the machine, which takes milliseconds.
    """
    try:
        root = psutil.Process(pid)
        every = [root, *(root.children(recursive=True) if with_children else ())]
        cpu_s, memory = _use_of(root)
    except psutil.Error:
        return None
    for each in every[1:]:
        with contextlib.suppress(psutil.Error):  # it has ended
            of_child = _use_of(each)
            cpu_s, memory = cpu_s + of_child[0], memory + of_child[1]
    return ProcessUse(cpu_s, memory / GIB)


def _use_of(process: psutil.Process) -> tuple[float, int]:
    """Return processor seconds, with those of ended children, and bytes of resident memory."""
    with process.oneshot():
        times = process.cpu_times()
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return times.user + times.system + ended, process.memory_info().rss


class MachineUse(NamedTuple):
    """Seconds that the machine's processors worked and existed since it started, load, used memory
    and free disk (GiB)."""

    busy_s: float
    processor_s: float
    load: float
    memory_gib: float
    disk_left_gib: float


def machine_use(folder: Path) -> MachineUse | None:
    """Return what is used of this machine, and of the disk of a folder; None if unknown."""
    try:
        times = psutil.cpu_times()._asdict()
        busy_s = sum(seconds for part, seconds in times.items() if part not in NOT_WORK)
        idle_s = times["idle"] + times.get("iowait", 0.0)
        memory = psutil.virtual_memory()
        return MachineUse(
            busy_s, busy_s + idle_s, os.getloadavg()[0], (memory.total - memory.available) / GIB,
            shutil.disk_usage(folder).free / GIB,
        )  # fmt: skip
    except (OSError, psutil.Error):
        return None


class GpuUse(NamedTuple):
    """Use of a GPU by all programs: utilization from 0 to 1, memory (GiB) and power (W)."""

    share: float
    memory_gib: float
    memory_total_gib: float
    power_w: float | None = None


@functools.cache
def gpus() -> tuple[Any, ...]:
    """Return NVML's handles of this machine's GPUs; empty without a driver."""
    import pynvml  # loads the driver's library

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return tuple(pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count))
    except pynvml.NVMLError:
        return ()


def gpus_by_uuid(uuids: Sequence[str]) -> tuple[Any, ...]:
    """Return NVML's handles of GPUs, without those that it does not know."""
    if not uuids:
        return ()
    import pynvml  # loads the driver's library

    found = []
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        for uuid in uuids:
            with contextlib.suppress(pynvml.NVMLError):
                found.append(pynvml.nvmlDeviceGetHandleByUUID(uuid))
    return tuple(found)


def gpu_use(gpu: Any) -> GpuUse | None:
    """Return the use of a GPU; None if unknown."""
    import pynvml

    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        share = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100
    except pynvml.NVMLError:
        return None
    power_w = None
    with contextlib.suppress(pynvml.NVMLError):  # some GPUs do not measure it
        power_w = pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000
    return GpuUse(share, memory.used / GIB, memory.total / GIB, power_w)
