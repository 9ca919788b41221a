"""What runs used of their machine: panels of curves, and a summary in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from engine.protocol import MetricKey
from engine.protocol.system import PARTS, SYSTEM_METRICS
from vld_tui.runs.run import Run
from vld_tui.words.numbers import percent

NO_SAMPLES: Final = (
    "No measurements of the machine: the run took less than 5 s, or an earlier version recorded it."
)
NO_SAMPLES_YET: Final = "No measurements of the machine yet. The first one follows after 10 s."


class Panel(NamedTuple):
    """A chart of some values of a sample."""

    name: str
    title: str
    metrics: tuple[str, ...]
    is_percent: bool = False


PANELS: Final = (
    Panel("use", "processor and GPU", ("run_cpu_share", "cpu_share", "gpu_share"), is_percent=True),
    Panel("memory", "memory (GiB)", ("run_memory_gib", "memory_gib", "gpu_memory_gib")),
    Panel(
        "time", "time", ("computing_share", "waiting_share", "evaluating_share", "saving_share"),
        is_percent=True,
    ),
    Panel("power", "GPU power (W)", ("gpu_power_w",)),
    Panel("load", "load average", ("load",)),
    Panel("disk", "free disk (GiB)", ("disk_left_gib",)),
)  # fmt: skip
"""The panels of one run."""

_COMPARED: Final = (
    "run_cpu_share", "run_memory_gib", "gpu_share", "gpu_memory_gib", "gpu_power_w",
    "waiting_share", "computing_share", "evaluating_share",
)  # fmt: skip


def _panel_of(name: str) -> Panel:
    metric = SYSTEM_METRICS[name]
    unit = f" ({metric.unit})" if metric.unit not in ("", "share") else ""
    title = metric.title.removesuffix(", this run")
    return Panel(name.replace("_", "-"), title + unit, (name,), is_percent=metric.unit == "share")


COMPARED_PANELS: Final = tuple(map(_panel_of, _COMPARED))
"""The panels of several runs: one value of each run in each."""


def no_samples(runs: Iterable[Run]) -> str:
    """Return why there is nothing to draw."""
    return NO_SAMPLES_YET if any(run.is_live for run in runs) else NO_SAMPLES


class SystemSummary(NamedTuple):
    """The samples of a run combined; None: unknown, or there is no such device.

    ``memory_gib`` is the highest of the run's memory. Shares are means over the recorded time.
    """

    recorded_s: float
    memory_gib: float | None
    cpu_share: float | None
    gpu_share: float | None
    gpu_memory_gib: float | None
    gpu_power_w: float | None
    time: Mapping[str, float]

    def as_record(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return self._asdict()

    @property
    def words(self) -> str:
        """Return it as one line."""
        parts = []
        if self.memory_gib is not None:
            parts.append(f"peak memory {self.memory_gib:.1f} GiB")
        if self.cpu_share is not None:
            parts.append(f"processor {percent(self.cpu_share)}")
        if self.gpu_share is not None:
            gpu = f"GPU {percent(self.gpu_share)}"
            gpu += f" {self.gpu_memory_gib:.1f} GiB" if self.gpu_memory_gib is not None else ""
            parts.append(gpu + (f" {self.gpu_power_w:.0f} W" if self.gpu_power_w else ""))
        parts += [
            f"{SYSTEM_METRICS[f'{part}_share'].title} {percent(share)}"
            for part, share in self.time.items()
            if share >= 0.0005
        ]
        return " · ".join(parts)


def system_summary(
    series: Mapping[MetricKey, tuple[Iterable[float], Iterable[float]]],
) -> SystemSummary | None:
    """Summarise (steps, values) of a run's series by key; None without samples."""
    found = {
        key.name: dict(zip(map(int, steps), map(float, values), strict=True))
        for key, (steps, values) in series.items()
        if key.is_system
    }
    seconds = found.get("interval_s", {})
    if not sum(seconds.values()):
        return None

    def mean(name: str) -> float | None:
        known = {step: value for step, value in found.get(name, {}).items() if step in seconds}
        weight = sum(seconds[step] for step in known)
        total = sum(value * seconds[step] for step, value in known.items())
        return total / weight if weight else None

    def highest(name: str) -> float | None:
        return max(found.get(name, {}).values(), default=None)

    return SystemSummary(
        sum(seconds.values()), highest("run_memory_gib"), mean("run_cpu_share"),
        mean("gpu_share"), highest("gpu_memory_gib"), mean("gpu_power_w"),
        {part: mean(f"{part}_share") or 0.0 for part in PARTS},
    )  # fmt: skip
