"""``vld logs``: a run's events as lines, and the output of its process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated, Final, TextIO

import typer

from engine.rundir import LinkError, plain_file
from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.errors import check_range
from vld_tui.cli.session import open_for_runs
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import QUEUED, Run
from vld_tui.runs.run_folder import EventFollower, start_of_last_lines
from vld_tui.store.store import Store
from vld_tui.views.event_lines import MOST_LINES, last_told, story_lines, told_task
from vld_tui.words.text import plain_text

POLL_INTERVAL_S: Final = 0.2

app = typer.Typer(add_completion=False, rich_markup_mode=None)

FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Follow the log until the run ends.")
]
LinesOption = Annotated[
    int | None, typer.Option("--lines", "-n", metavar="N", help="Print only the last N lines.")
]


@app.command(cls=Command)
def logs(
    ctx: typer.Context, run: RunArgument, follow: FollowOption = False, lines: LinesOption = None
) -> None:
    """Print a run's events and process output, with control characters made visible."""
    check_range("--lines", lines, 0)
    with open_for_runs(ctx, [run]) as store, contextlib.ExitStack() as files:
        known = store.runs.get(run)
        told = _Told(store, known, files)
        for line in told.news() if lines is None else told.last(lines):
            _print(line)
        while follow:
            known = store.runs.get(known.run_id)  # checked first: no lines follow
            is_live = known.is_live or _comes_yet(store, known)
            for line in told.news():
                _print(line)
            if not is_live:
                return
            time.sleep(POLL_INTERVAL_S)


def _comes_yet(store: Store, run: Run) -> bool:
    """Return whether a cluster job is still to start or resume the run."""
    if not run.has_job:
        return False
    from vld_tui.launch.slurm.jobs import JOBS_POLL_S, look_at_jobs

    time.sleep(JOBS_POLL_S)
    look_at_jobs(store)
    now = store.runs.get(run.run_id)
    return now.is_live or (now.has_job and now.status == QUEUED)


class _Told:
    """A run's lines so far, each returned once."""

    def __init__(self, store: Store, run: Run, files: contextlib.ExitStack) -> None:
        run_dir = store.runs.run_dir(run.run_id)
        self._run = run
        self._run_dir = run_dir
        self._task = told_task(run, run_dir)
        self._progress = Progress()
        self._follower = EventFollower(run_dir)
        self._files = files
        self._path = run_dir.log
        self._output: TextIO | None = None

    def news(self) -> Iterator[str]:
        """Yield the lines since the last call."""
        for event in self._follower.news():
            self._progress = self._progress.after(event)
            yield from story_lines(self._task, self._progress, event)
        yield from self._printed()

    def last(self, count: int) -> list[str]:
        """Return the last lines so far, read from the ends of the files."""
        if count > MOST_LINES:
            return list(deque(self.news(), maxlen=count))
        printed = list(self._printed(last=count))
        told = count - len(printed)
        tail = last_told(self._run_dir.events, self._task, told)
        self._follower = EventFollower(self._run_dir, tail.offset)
        self._progress = tail.progress
        lines = [*tail.lines, *printed]
        return lines[max(0, len(lines) - count) :]

    def _printed(self, last: int | None = None) -> Iterator[str]:
        """Yield the process output since the last call; ``last``: only its last lines."""
        if self._output is None and os.path.lexists(self._path):
            self._output = self._files.enter_context(self._open())
            if last is not None and self._output.seekable():
                with contextlib.suppress(OSError):
                    self._output.seek(start_of_last_lines(self._path, last))
        if self._output is not None:
            yield from self._output

    def _open(self) -> TextIO:
        """Open the process output; refuse a symbolic link."""
        try:
            return open(
                self._path, encoding="utf-8", errors="backslashreplace", newline="\n",
                opener=plain_file,
            )  # fmt: skip
        except LinkError as error:
            return io.StringIO(f"{error}\n")


def _print(line: str) -> None:
    text = plain_text(line.removesuffix("\n"), keep_newlines=True)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
