"""How ``vld run`` reports a run: live, line by line, or as JSON."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from engine.protocol import Event, PhaseReported, RunFinished, RunTask, StepsTaken, spec_of
from vld_tui.cli.output import NextCommands, plain_console, with_home
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.views.accuracies import accuracy_views, interval_line
from vld_tui.views.combined import cautions
from vld_tui.views.event_lines import closing_line, event_lines
from vld_tui.views.live import (
    collapse_notice,
    current_phase,
    notice_views,
    preparing_view,
    training_view,
)
from vld_tui.views.plan import plan_table
from vld_tui.words.numbers import duration, size
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE, STATUS_SIGNS, STATUS_STYLES
from vld_tui.words.text import fit, plain_text, width

REPAINT_INTERVAL_S: Final = 0.25
IDLE_REPAINT_INTERVAL_S: Final = 1.0
LOSS_LINE_INTERVAL_S: Final = 5.0
SILENT_S: Final = 10.0
"""Seconds without a line after which the run's phase is printed."""
_SHORT_COMMAND_CELLS: Final = 32


def closing_view(
    task: RunTask,
    progress: Progress,
    *,
    run_id: str,
    name: str,
    status: str,
    cells: int,
    gives_reason: bool = True,
) -> RenderableType:
    """Return the closing table: how it ended, the selected step, every accuracy, id and name."""
    headline = Text(f"{STATUS_SIGNS.get(status, '?')} ", style=STATUS_STYLES.get(status, ""))
    headline.append(
        closing_line(task, progress, status=status, gives_reason=gives_reason),
        style=HEADING_STYLE,
    )
    parts: list[RenderableType] = [headline, Text(""), *notice_views(task, progress)]
    if progress.collapse is not None:
        parts += [collapse_notice(progress, progress.collapse), Text("")]
    if progress.evaluations:
        parts += accuracy_views(task, progress, cells)
    footer = f"  run {plain_text(run_id)}  {plain_text(name)}"
    if isinstance(progress.end, RunFinished):
        footer += f" · peak memory {size(progress.end.peak_memory_bytes)}"
    parts.append(Text(footer, style=QUIET_STYLE))
    return Group(*parts)


def next_commands(commands: NextCommands) -> Text:
    """Return suggested commands with their purposes.

    A long command gets its own line, so that it can be copied.
    """
    short = [width(command) for command, _ in commands if width(command) <= _SHORT_COMMAND_CELLS]
    cells = max(short, default=0)
    text = Text()
    for typed, purpose in commands:
        command = plain_text(typed)
        if width(command) <= cells:
            text.append(f"  {fit(command, cells)}   ")
        else:
            text.append(f"  {command}\n     ")
        text.append(f"{purpose}\n", style=QUIET_STYLE)
    text.rstrip()
    return text


class Reporter(Protocol):
    """Displays a run while it is followed."""

    def __enter__(self) -> Reporter: ...
    def __exit__(self, *_error: object) -> None: ...
    def show(self, progress: Progress, events: Sequence[Event]) -> None:
        """Show the progress after ``events``; called about ten times a second."""

    def notice(self, text: str) -> None:
        """Show a notice, such as what a second Ctrl-C does."""

    def conclude(self, progress: Progress, status: str, following: NextCommands) -> None:
        """Show the result and the next commands."""


def make_reporter(run: Run, *, stdout_is_taken: bool) -> Reporter:
    """Choose how to follow a run: live if stdout is a capable terminal, else as lines.

    ``stdout_is_taken``: stdout is for JSON, so lines go to stderr.
    """
    if stdout_is_taken:
        return LineReporter(run, stream=sys.stderr)
    console = plain_console()
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return LiveReporter(run, console=console)
    return LineReporter(run, stream=sys.stdout)


class LiveReporter:
    """Prints the plan once complete and repaints the progress below it."""

    def __init__(self, run: Run, *, console: Console) -> None:
        self._task = run.task
        self._run_id, self._name = run.run_id, run.name
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._keyboard = contextlib.ExitStack()
        self._notice = ""
        self._plan_is_printed = False
        self._began = time.monotonic()
        self._painted = 0.0
        self._is_stale = False

    def __enter__(self) -> LiveReporter:
        self._keyboard.enter_context(_silent_keyboard())
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()
        self._keyboard.close()

    def show(self, progress: Progress, events: Sequence[Event]) -> None:
        """Repaint after events, at a limited rate."""
        self._is_stale = self._is_stale or bool(events)
        interval_s = REPAINT_INTERVAL_S if self._is_stale else IDLE_REPAINT_INTERVAL_S
        if time.monotonic() - self._painted >= interval_s:
            self._paint(progress)

    def notice(self, text: str) -> None:
        """Show ``text`` below the view."""
        self._notice = plain_text(text)
        self._painted = 0.0

    def conclude(self, progress: Progress, status: str, following: NextCommands) -> None:
        """Replace the live view with the closing table."""
        self._live.stop()
        self._console.print(
            closing_view(
                self._task,
                progress,
                run_id=self._run_id,
                name=self._name,
                status=status,
                cells=self._console.width,
                gives_reason=False,
            )
        )
        if following:
            self._console.print(
                Text(""),
                next_commands([(with_home(command), purpose) for command, purpose in following]),
                sep="\n",
            )

    def _paint(self, progress: Progress) -> None:
        self._painted = time.monotonic()
        self._is_stale = False
        if progress.model is None:
            seconds = self._painted - self._began
            plan = preparing_view(
                self._task,
                progress,
                seconds=seconds,
                notice=self._notice,
            )
            self._live.update(Group(self._heading(), Text(""), plan), refresh=True)
            return
        if not self._plan_is_printed:
            self._plan_is_printed = True
            plan = plan_table(self._task, progress)
            self._console.print(self._heading(), Text(""), plan, Text(""), sep="\n")
        view = training_view(
            self._task,
            progress,
            now=time.time(),
            cells=self._console.width,
            notice=self._notice,
        )
        self._live.update(view, refresh=True)

    def _heading(self) -> Text:
        heading = Text(f"Run {plain_text(self._run_id)}", style=HEADING_STYLE)
        return heading.append(f"  {plain_text(self._name)}", style=QUIET_STYLE)


@contextlib.contextmanager
def _silent_keyboard() -> Iterator[None]:
    """Disable echo so that typed keys do not disturb the live view; Ctrl-C still works."""
    if not _has_keyboard():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = before.copy()
    silent[3] &= ~termios.ECHO  # of the local modes
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        if _has_keyboard():
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _has_keyboard() -> bool:
    """Return whether we own the terminal's input: a background job that uses it is suspended."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # the terminal was closed
        return False


class LineReporter:
    """Prints one line per event, with losses at a limited rate."""

    def __init__(self, run: Run, *, stream: TextIO) -> None:
        self._task = run.task
        self._run_id, self._name = run.run_id, run.name
        self._stream = stream
        self._loss_told = float("-inf")
        self._written_at = time.monotonic()
        self._is_named = False

    def __enter__(self) -> LineReporter:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.flush()

    def show(self, progress: Progress, events: Sequence[Event]) -> None:
        """Print the events; print the run's name once preparation has succeeded."""
        is_kept = progress.model is not None or (
            progress.started is not None and progress.started.resumed_step is not None
        )
        if is_kept and not self._is_named:
            self._is_named = True
            self._write(f"run {plain_text(self._run_id)}  {plain_text(self._name)}")
        for event in events:
            if isinstance(event, StepsTaken):
                if time.monotonic() - self._loss_told < LOSS_LINE_INTERVAL_S:
                    continue
                self._loss_told = time.monotonic()
            if isinstance(event, PhaseReported) and not self._is_named:  # it may yet be refused
                continue
            for line in event_lines(self._task, progress, event):
                self._write(line)
        if time.monotonic() - self._written_at >= SILENT_S:
            waited = "" if progress.heard_at is None else duration(time.time() - progress.heard_at)
            phase = current_phase(spec_of(self._task), progress)
            self._write(f"{phase} … {waited}".rstrip(" …"))

    def notice(self, text: str) -> None:
        """Print ``text``."""
        self._write(text)

    def conclude(self, progress: Progress, status: str, following: NextCommands) -> None:
        """Print how the run ended and the next commands."""
        closing = closing_line(self._task, progress, status=status, gives_reason=False)
        self._write(closing)
        if progress.selected is not None:
            found = cautions(self._task, progress)
            told = [interval_line(progress), *(f"caution: {each}" for each in found)]
            for line in filter(None, told):
                self._write(line)
        for command, purpose in following:
            self._write(with_home(f"  {plain_text(command)}  # {purpose}"))

    def _write(self, line: str) -> None:
        self._written_at = time.monotonic()
        self._stream.write(f"{plain_text(line, keep_newlines=True)}\n")
        self._stream.flush()
