"""Reports of the phase a run is in, as events: what it is doing, how far, how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from engine.protocol import Event, PhaseReported
from engine.protocol.phases import PhaseName
from engine.protocol.system import Part
from engine.rundir.event_log import EventLog, SilentLog
from engine.rundir.monitor import NO_MONITOR, Monitor

EVERY_S: Final = 2.0
"""Minimum seconds between reports."""
MOST_REPORTS: Final = 100
"""Approximate maximum of reports of a phase while it lasts, however long that is."""
GROWTH: Final = 0.1
"""Interval between reports of a phase of unknown length, as a fraction of its time so far."""
SHORT_S: Final = 2.0
"""A phase that was shorter the last time is not reported when it begins."""


SPENT_ON: Final[Mapping[PhaseName, Part]] = {
    "training": "computing",
    "evaluating": "evaluating",
    "averaging_weights": "evaluating",
    "saving_checkpoint": "saving",
}
"""What the time of a phase counts as; of the others, as preparing."""


class Phases:
    """Reports the phases of one process of a run to its event log.

    ``monitor`` counts their time, and takes samples of the machine between their units.
    """

    def __init__(self, log: EventLog, monitor: Monitor = NO_MONITOR) -> None:
        self.log, self.monitor = log, monitor
        self._lasted_s: dict[str, float] = {}

    def begin(
        self, name: PhaseName, total: int | None = None, *, done: int = 0, detail: str = "",
        is_paced: bool = True,
    ) -> ReportedPhase:  # fmt: skip
        """Begin a phase of ``total`` units, of which ``done`` are done (None: without a count).

        ``is_paced``: units take about as long each, so that the time left can be estimated.

        The first event of another type ends it. As a context manager it also remembers how long it
        lasts: the next phase of this name is reported at once only if that was long.
        """
        if name == "training":  # until the end, but for the phases within
            self.monitor.switch(SPENT_ON[name])
        phase = ReportedPhase(self, name, total, done, detail, is_paced=is_paced)
        if self._lasted_s.get(name, SHORT_S) >= SHORT_S:
            phase.report()
        return phase

    def progress(self, name: PhaseName) -> Callable[[int, int], None]:
        """Return a function of the units done and their total; each new total begins a phase."""
        phase: ReportedPhase | None = None
        total_before = -1

        def on_progress(done: int, total: int) -> None:
            nonlocal phase, total_before
            if phase is None or total != total_before:
                phase, total_before = self.begin(name, total, done=done), total
            phase.reached(done)

        return on_progress

    def record(self, event: Event) -> None:
        """Append an event to the log."""
        self.log.record(event)

    def ended(self, name: str, lasted_s: float) -> None:
        """Remember how long a phase lasted."""
        self._lasted_s[name] = lasted_s


class ReportedPhase:
    """One phase, reported while it lasts. Its calls take less than a microsecond."""

    def __init__(
        self, phases: Phases, name: PhaseName, total: int | None, done: int, detail: str,
        *, is_paced: bool,
    ) -> None:  # fmt: skip
        self._phases, self._name, self._detail = phases, name, detail
        self._total, self._done, self._first = total, done, done
        self._is_paced = is_paced
        self._part_before: Part = "preparing"
        self._began = self._reported = time.monotonic()

    def __enter__(self) -> ReportedPhase:
        part = SPENT_ON.get(self._name, "preparing")
        self._part_before = self._phases.monitor.switch(part)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._phases.monitor.switch(self._part_before)
        self._phases.ended(self._name, time.monotonic() - self._began)

    def at(self, detail: str) -> None:
        """Set the part of the phase that the next report names."""
        self._detail = detail

    def advance(self, units: int = 1) -> None:
        """Add units that are done."""
        self.reached(self._done + units)

    def reached(self, done: int, *, at_once: bool = False) -> None:
        """Report that ``done`` units are done, unless an event was recorded a short time ago.

        ``at_once``: report it in any case, such as before a part that takes long.
        """
        self._done = done
        now = time.monotonic()
        self._phases.monitor.poll(now)
        heard = max(self._reported, self._phases.log.recorded_at)
        if at_once or (now - heard >= EVERY_S and now - heard >= self._interval_s(now)):
            self.report()

    def report(self) -> None:
        """Report the phase now."""
        self._reported = time.monotonic()
        elapsed_s = self._reported - self._began
        whole_s = self._whole_s(elapsed_s)
        self._phases.record(
            PhaseReported(
                phase=self._name,
                done=None if self._total is None else self._done,
                total=self._total,
                detail=self._detail,
                elapsed_s=elapsed_s,
                seconds_left=None if whole_s is None else max(0.0, whole_s - elapsed_s),
            )
        )

    def _interval_s(self, now: float) -> float:
        elapsed_s = now - self._began
        whole_s = self._whole_s(elapsed_s)
        return GROWTH * elapsed_s if whole_s is None else whole_s / MOST_REPORTS

    def _whole_s(self, elapsed_s: float) -> float | None:
        """Return the expected seconds of the whole phase, from its pace so far."""
        if self._total is None or self._done <= self._first or not self._is_paced:
            return None
        return elapsed_s * (self._total - self._first) / (self._done - self._first)


SILENT: Final = Phases(SilentLog())
"""Reports nothing."""
