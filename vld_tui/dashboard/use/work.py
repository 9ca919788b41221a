"""Work of an engine process that the user waits for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from engine.protocol import UserError
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.words.numbers import bar, duration, rate
from vld_tui.words.text import plain_text, shorten, width

BAR_CELLS: Final = 20
REPORT_S: Final = 0.1
"""Interval between updates of the screen."""


class CancelledError(UserError):
    """Work that the user cancelled."""


@dataclass(frozen=True)
class ShownProgress:
    """Progress of a task, of which ``done`` units took ``seconds``."""

    report: WorkProgress
    done: int
    seconds: float

    def text(self, cells: int | None = None) -> str:
        """Return a line of at most ``cells`` cells, without what does not fit; None: of any width.

        First the bar is left out, then the speed, then the time left.
        """
        lines = [*self._lines()]
        if cells is None:
            return lines[0]
        return next((line for line in lines if width(line) <= cells), shorten(lines[-1], cells))

    @property
    def counted(self) -> str:
        """Return what is done, and how much of it."""
        report = self.report
        of_total = "" if report.total is None else f"/{report.total:,}"
        return f"{plain_text(report.what)}: {report.done:,}{of_total} {report.unit}"

    def _lines(self) -> Iterator[str]:
        """Yield the progress with all of its parts, then with fewer and fewer."""
        report, counted = self.report, self.counted
        speed, left = self._pace()
        if report.total:
            shown = bar(report.done / report.total, BAR_CELLS)
            yield f"{shown:<{BAR_CELLS}}  " + " · ".join([counted, *speed, *left])
        yield " · ".join([counted, *speed, *left])
        yield " · ".join([counted, *left])
        yield counted

    def _pace(self) -> tuple[list[str], list[str]]:
        """Return the units per second and the time left, if they are known."""
        if self.done <= 0 or self.seconds <= 0:
            return [], []
        report, speed = self.report, self.done / self.seconds
        shown = [f"{rate(speed)} {report.unit}/s"]
        if report.total is None:
            return shown, []
        return shown, [f"{duration((report.total - report.done) / speed)} left"]


class Work:
    """Work of an engine process: its progress, and how to cancel it.

    A worker thread does it; other threads read its progress.
    """

    def __init__(
        self,
        on_progress: Callable[[ShownProgress], object] = lambda _progress: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_progress`` receives the progress, now and then."""
        self.notes: list[str] = []
        self._on_progress, self._clock = on_progress, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = 0
        self._what, self._begin = "", (0.0, 0)
        self._reported_at = -REPORT_S

    @property
    def is_cancelled(self) -> bool:
        """Return whether the user cancelled it."""
        return self._cancelled > 0

    def cancel(self) -> None:
        """End the process; a second time, at once."""
        self._cancelled += 1
        self._end_process()

    def started(self, process: subprocess.Popen[bytes]) -> None:
        """Remember the process, to end it."""
        self._process = process
        if self.is_cancelled:
            self._end_process()

    def report(self, report: WorkProgress | WorkNote) -> None:
        """Take progress or a note."""
        if isinstance(report, WorkNote):
            self.notes.append(report.text)
            return
        now = self._clock()
        if report.what != self._what:
            self._what, self._begin = report.what, (now, report.done)
        elif now < self._reported_at + REPORT_S and report.done != report.total:
            return
        self._reported_at = now
        began, first = self._begin
        self._on_progress(ShownProgress(report, report.done - first, now - began))

    def _end_process(self) -> None:
        if (process := self._process) is not None:
            (process.terminate if self._cancelled == 1 else process.kill)()
