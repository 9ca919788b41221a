"""Progress and notes of an engine process on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.cli.output import say
from vld_tui.words.text import plain_text

Report = WorkProgress | WorkNote


@contextmanager
def showing_work(*, shows_bars: bool = True) -> Iterator[Callable[[Report], None]]:
    """Yield a function that prints notes and, on a terminal, shows progress bars.

    ``shows_bars``: false where results are printed to the same terminal meanwhile.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeRemainingColumn(),
    )
    is_off = not (shows_bars and console.is_terminal)
    bars = Progress(*columns, console=console, transient=True, disable=is_off)
    with bars:
        tasks: dict[str, TaskID] = {}

        def show(report: Report) -> None:
            if isinstance(report, WorkNote):
                say(report.text, to_stderr=True)
                return
            if report.what not in tasks:
                what = plain_text(report.what)
                tasks[report.what] = bars.add_task(what, total=None, unit=report.unit)
            bars.update(tasks[report.what], completed=report.done, total=report.total)

        yield show
