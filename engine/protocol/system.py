"""What a run records of its machine and of its time, and the keys of these series.

A new value is a line in :data:`SYSTEM_METRICS` and a field of ``SystemSampled``, which
``engine/rundir/monitor.py`` fills. It is stored without further code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

import msgspec

from engine.protocol.measures import SYSTEM, MetricKey

NO_ARM: Final = ""

Part = Literal["preparing", "waiting", "computing", "evaluating", "saving"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
"""What a run's time is spent on; each has a share in a sample."""


class SystemMetric(msgspec.Struct, frozen=True):
    """A value of a sample: what it is ``of``, as users read it, and its unit (``share``: 0 to 1).

    ``of`` is ``run``, ``machine``, ``gpu`` (those the run computes on) or ``time`` (the share of
    the time since the previous sample).
    """

    name: str
    of: str
    title: str
    unit: str

    @property
    def short_title(self) -> str:
        """Return the title next to other values of its kind."""
        if self.of == "time":
            return self.title.partition(" ")[0]
        return {"run": "this run", "machine": "machine", "gpu": "GPU"}[self.of]

    @property
    def key(self) -> MetricKey:
        """Return the key of its series."""
        return MetricKey(self.name, SYSTEM, self.of, NO_ARM)


SYSTEM_METRICS: Final[Mapping[str, SystemMetric]] = {
    each.name: each
    for each in (
        SystemMetric("run_cpu_share", "run", "processor, this run", "share"),
        SystemMetric("cpu_share", "machine", "processor, machine", "share"),
        SystemMetric("load", "machine", "load", ""),
        SystemMetric("run_memory_gib", "run", "memory, this run", "GiB"),
        SystemMetric("memory_gib", "machine", "memory, machine", "GiB"),
        SystemMetric("disk_left_gib", "machine", "free disk", "GiB"),
        SystemMetric("gpu_share", "gpu", "GPU", "share"),
        SystemMetric("gpu_memory_gib", "gpu", "GPU memory", "GiB"),
        SystemMetric("gpu_power_w", "gpu", "GPU power", "W"),
        SystemMetric("preparing_share", "time", "preparing", "share"),
        SystemMetric("waiting_share", "time", "waiting for data", "share"),
        SystemMetric("computing_share", "time", "computing", "share"),
        SystemMetric("evaluating_share", "time", "evaluating", "share"),
        SystemMetric("saving_share", "time", "saving checkpoints", "share"),
        SystemMetric("interval_s", "time", "interval", "s"),
    )
}
"""Every value of a sample by name."""
