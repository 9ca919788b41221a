"""The last events of a run as the lines of ``vld logs``, read from the end of its log."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from engine.protocol import (
    DataPrepared,
    EventDecodeError,
    RunTask,
    SpecError,
    decode_event,
    task_of,
)
from engine.rundir import RunDir, plain_file
from vld_tui.runs.event_reader import read_events
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.views.lines import story_lines

MOST_BYTES: Final = 2**19
FIRST_BYTES: Final = 2**17
"""Bytes read first for a few lines."""
MOST_LINES: Final = 20_000
HEAD_BYTES: Final = 2**16
"""Bytes at the start of a log that hold the run's domains."""


class EventTail:
    """The last lines of a run, to which new ones are added. Blocks, so use it in a worker.

    At most ``most_bytes`` are read at once; ``is_cut``: there are earlier lines.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most_bytes = path, most_bytes
        self._offset: int | None = None
        self._progress = Progress()
        self.lines: tuple[str, ...] = ()
        self.is_cut = False

    @property
    def offset(self) -> int:
        """Return the offset up to which the log was read."""
        return self._offset or 0

    @property
    def progress(self) -> Progress:
        """Return the run's progress from the events read."""
        return self._progress

    def read(self, task: RunTask) -> tuple[str, ...]:
        """Return the lines, the same object while there are no new ones."""
        with suppress(OSError):  # an unreadable log has nothing new
            size = self._path.stat().st_size
            if self._offset is None or not self._offset <= size <= self._offset + self._most_bytes:
                self._begin(size)
            self._take(task)
        return self.lines

    def _begin(self, size: int) -> None:
        """Start near the end of a log of ``size`` bytes, with the domains from its start."""
        self._offset = max(0, size - self._most_bytes)
        self._progress, self.lines, self.is_cut = Progress(), (), self._offset > 0
        if not self.is_cut:
            return
        with open(self._path, "rb", opener=plain_file) as file:
            head = file.read(HEAD_BYTES)
        for line in head.splitlines():
            with suppress(EventDecodeError):
                if isinstance(event := decode_event(line), DataPrepared):
                    self._progress = self._progress.after(event)
                    return

    def _take(self, task: RunTask) -> None:
        """Read new events; a line that starts before the offset is skipped."""
        batch = read_events(self._path, self._offset or 0)
        self._offset = batch.offset
        found: list[str] = []
        for event in batch.events:
            self._progress = self._progress.after(event)
            if self.is_cut:  # the best evaluation of all is unknown
                self._progress = msgspec.structs.replace(self._progress, evaluations=())
            found += story_lines(task, self._progress, event)
        if found:
            self.is_cut |= len(self.lines) + len(found) > MOST_LINES
            self.lines = (*self.lines, *found)[-MOST_LINES:]


def last_told(path: Path, task: RunTask, count: int) -> EventTail:
    """Return the tail of a log with its last ``count`` lines, or fewer.

    Only the needed part of the log is read.
    """
    most_bytes = FIRST_BYTES
    while True:
        tail = EventTail(path, most_bytes=most_bytes)
        lines = tail.read(task)
        if len(lines) >= min(count, MOST_LINES) or not tail.is_cut:
            return tail
        most_bytes *= 8


def told_task(run: Run, run_dir: RunDir) -> RunTask:
    """Return a run's task, with the settings in its folder if the database has none."""
    if not run.has_spec:
        with suppress(SpecError):
            return task_of(run_dir.read_spec(), run.combination)
    return run.task
