"""Samples of what a run uses of its machine, and of how its time is spent, as events."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from engine.protocol import SystemSampled
from engine.protocol.system import PARTS, Part
from engine.rundir.event_log import EventLog
from engine.rundir.usage import (
    GpuUse,
    MachineUse,
    ProcessUse,
    gpu_use,
    gpus_by_uuid,
    machine_use,
    process_use,
)

EVERY_S: Final = 10.0
"""Minimum seconds between readings."""
GROWTH: Final = 0.01
"""Interval between samples as a fraction of the time so far: at most 740 in a week."""
MOST_SHARE: Final = 0.005
"""Maximum fraction of the time that readings take; where one takes long, they are fewer."""


class Reading(NamedTuple):
    """What is used at a moment."""

    machine: MachineUse | None
    run: ProcessUse | None
    gpus: tuple[GpuUse, ...]


class Totals(NamedTuple):
    """Counters that only grow: the monotonic time (s), the seconds of each part, and a reading."""

    at: float
    spent: Mapping[Part, float]
    reading: Reading


class Monitor:
    """Takes the samples of one process of a run, which calls it between units of work.

    It starts no thread: a sample is taken at the end of the step, or batch, during which it became
    due.

    Attributes:
        step: updates that are done.
        waited_s: returns the seconds spent waiting for batches.
    """

    def __init__(self, log: EventLog, folder: Path, *, step: int = 0) -> None:
        self._log, self._folder = log, folder
        self.step = self._last_step = step
        self.waited_s: Callable[[], float] = float
        self._pid, self._with_children = os.getpid(), False
        self._gpus: tuple[Any, ...] = ()
        self._part: Part = "preparing"
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._since = self._began = time.monotonic()
        self._due = self._began + EVERY_S
        self._readings: list[Reading] = []
        self._base = self._last = self._totals(self._began, self._read())
        self._last_count = 0

    def watch(
        self, gpu_uuids: Sequence[str], ranks: int = 1, waited_s: Callable[[], float] = float
    ) -> None:
        """Watch these GPUs, the processes of all ``ranks`` of this machine, and ``waited_s``."""
        self._gpus, self.waited_s = gpus_by_uuid(gpu_uuids), waited_s
        if ranks > 1:  # they have the same parent
            self._pid, self._with_children = os.getppid(), True
            reading = self._read()
            self._base = self._base._replace(reading=reading)
            self._last = self._last._replace(reading=reading)

    def switch(self, part: Part) -> Part:
        """Count the time from now on as another part, and return the previous one."""
        now = time.monotonic()
        self._spent[self._part] += now - self._since
        self._since, before, self._part = now, self._part, part
        return before

    @contextlib.contextmanager
    def spending(self, part: Part) -> Iterator[None]:
        """Count the time of a block as a part, without the parts within it."""
        before = self.switch(part)
        try:
            yield
        finally:
            self.switch(before)

    def poll(self, now: float) -> None:
        """Take a sample if one is due at a monotonic time; if not, this takes a microsecond."""
        if now < self._due:
            return
        self._take_reading()
        finished = time.monotonic()
        self._due = max(now + EVERY_S, finished + (finished - now) / MOST_SHARE)
        if now - self._last.at >= max(EVERY_S, GROWTH * (now - self._began)):
            self._record(now)

    def finish(self) -> None:
        """Take the last sample, unless there was one a short time ago."""
        now = time.monotonic()
        if now - self._last.at >= EVERY_S / 2:
            self._take_reading()
            self._record(now)

    def _take_reading(self) -> None:
        self._readings.append(self._read())

    def _read(self) -> Reading:
        found = [gpu_use(gpu) for gpu in self._gpus]
        return Reading(
            machine_use(self._folder),
            process_use(self._pid, with_children=self._with_children),
            tuple(each for each in found if each is not None),
        )

    def _totals(self, now: float, reading: Reading) -> Totals:
        self.switch(self._part)
        waited_s = self.waited_s()
        spent = self._spent.copy()
        spent["waiting"], spent["computing"] = waited_s, max(0.0, spent["computing"] - waited_s)
        return Totals(now, spent, reading)

    def _record(self, now: float) -> None:
        """Record everything since the last sample of an earlier step, so that one of the same step
        takes the place of the other."""
        if self.step != self._last_step:
            self._base, self._readings = self._last, self._readings[self._last_count :]
        self._last = self._totals(now, self._readings[-1])
        self._last_step, self._last_count = self.step, len(self._readings)
        sample = _sample(self.step, self._base, self._last, self._readings)
        with contextlib.suppress(OSError):  # the disk may be full: events of results report that
            self._log.record(sample)


def _sample(step: int, base: Totals, last: Totals, readings: Sequence[Reading]) -> SystemSampled:
    """Return the event of the time between two totals, with readings in it."""
    interval_s = last.at - base.at
    spent = {part: max(0.0, last.spent[part] - base.spent[part]) for part in PARTS}
    whole_s = sum(spent.values()) or 1.0
    share = {part: round(seconds / whole_s, 4) for part, seconds in spent.items()}
    machines = [each.machine for each in readings if each.machine]
    runs = [each.run for each in readings if each.run]
    gpus = [each.gpus for each in readings if each.gpus]
    powers = [
        sum(power) for each in gpus if (power := [gpu.power_w for gpu in each if gpu.power_w])
    ]
    now = last.reading.machine
    return SystemSampled(
        step=step,
        interval_s=round(interval_s, 3),
        run_cpu_share=_run_share(base, last),
        cpu_share=_cpu_share(base, last),
        load=now and round(now.load, 2),
        run_memory_gib=_highest([each.memory_gib for each in runs]),
        memory_gib=_highest([each.memory_gib for each in machines]),
        disk_left_gib=now and round(now.disk_left_gib, 3),
        gpu_share=_mean([sum(gpu.share for gpu in each) / len(each) for each in gpus]),
        gpu_memory_gib=_highest([sum(gpu.memory_gib for gpu in each) for each in gpus]),
        gpu_power_w=_mean(powers),
        preparing_share=share["preparing"],
        waiting_share=share["waiting"],
        computing_share=share["computing"],
        evaluating_share=share["evaluating"],
        saving_share=share["saving"],
    )


def _run_share(base: Totals, last: Totals) -> float | None:
    """Return the share of the machine's processors that the run used."""
    before, after, cores = base.reading.run, last.reading.run, psutil.cpu_count()
    interval_s = last.at - base.at
    if before is None or after is None or not cores or interval_s <= 0:
        return None
    return round(min(1.0, max(0.0, after.cpu_s - before.cpu_s) / (interval_s * cores)), 4)


def _cpu_share(base: Totals, last: Totals) -> float | None:
    """Return the share of the machine's processors that all programs used."""
    before, after = base.reading.machine, last.reading.machine
    if before is None or after is None or after.processor_s <= before.processor_s:
        return None
    busy_s = after.busy_s - before.busy_s
    return round(min(1.0, max(0.0, busy_s / (after.processor_s - before.processor_s))), 4)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _highest(values: Sequence[float]) -> float | None:
    return round(max(values), 4) if values else None


class NoMonitor(Monitor):
    """Takes no samples."""

    def __init__(self) -> None:
        """Read nothing."""
        self.step = 0

    def watch(
        self, gpu_uuids: Sequence[str], ranks: int = 1, waited_s: Callable[[], float] = float
    ) -> None:
        """Do nothing."""

    def switch(self, part: Part) -> Part:  # noqa: ARG002
        """Do nothing."""
        return "preparing"

    def poll(self, now: float) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


NO_MONITOR: Final = NoMonitor()
