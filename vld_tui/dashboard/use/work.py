"""Work of an engine process that the user waits for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Final

from engine.protocol import UserError
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.words.numbers import bar, duration, rate
from vld_tui.words.text import plain_text

BAR_CELLS: Final = 20
REPORT_S: Final = 0.1
"""Interval between updates of the screen."""


class CancelledError(UserError):
    """Work that the user cancelled."""


class Work:
    """Work of an engine process: its progress, and how to cancel it.

    A worker thread does it; other threads read its progress.
    """

    def __init__(
        self,
        on_progress: Callable[[str], object] = lambda _text: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_progress`` receives the progress as a line of text, now and then."""
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
        self._on_progress(progress_text(report, report.done - first, now - began))

    def _end_process(self) -> None:
        if (process := self._process) is not None:
            (process.terminate if self._cancelled == 1 else process.kill)()


def progress_text(progress: WorkProgress, done: int, seconds: float) -> str:
    """Return progress as text; ``done`` of it took ``seconds``."""
    of_total = "" if progress.total is None else f"/{progress.total:,}"
    parts = [f"{plain_text(progress.what)}: {progress.done:,}{of_total} {progress.unit}"]
    if done > 0 and seconds > 0:
        speed = done / seconds
        parts.append(f"{rate(speed)} {progress.unit}/s")
        if progress.total is not None:
            parts.append(f"{duration((progress.total - progress.done) / speed)} left")
    if progress.total:
        parts.insert(0, f"{bar(progress.done / progress.total, BAR_CELLS):<{BAR_CELLS}}")
    return "  ".join([parts[0], " · ".join(parts[1:])]) if progress.total else " · ".join(parts)
