"""Run data set work in the engine, with progress on stderr."""

from __future__ import annotations

from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from engine.protocol import FIELDS, SpecError
from engine.protocol.datasets import DatasetRequest
from engine.protocol.spec import Layout
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.cli.command import proposes
from vld_tui.cli.output import say
from vld_tui.launch.datasets import work_on_datasets
from vld_tui.runs.fields import as_typed
from vld_tui.words.text import plain_text

Answer = TypeVar("Answer")

WhatArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH",
        help="Data set name (see vld data ls), or folder, table or archive of images.",
        autocompletion=proposes("data sets"),
    ),
]
LayoutOption = Annotated[
    str,
    typer.Option(
        "--layout",
        metavar="|".join(FIELDS["layout"].choices),
        help="Folder layout; auto detects and reports it, plain is domain/class/image without "
        "splits. [default: auto]",
        show_default=False,
    ),
]


def checked_layout(text: str) -> Layout:
    """Return the layout that ``text`` names.

    Raises:
        SpecError: for an unknown layout.
    """
    try:
        layout: Layout = FIELDS["layout"].check(text)
    except SpecError as error:
        raise as_typed(error, ("layout",)) from None
    return layout


def do_work(request: DatasetRequest, answer_type: type[Answer]) -> Answer:
    """Run the request in the engine; on a terminal, show a progress bar.

    Raises:
        DatasetError: when the engine rejects the request.
        LaunchError: when the process cannot start, or dies.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bars:
        tasks: dict[str, TaskID] = {}

        def show(report: WorkProgress | WorkNote) -> None:
            if isinstance(report, WorkNote):
                say(report.text, to_stderr=True)
                return
            if report.what not in tasks:
                what = plain_text(report.what)
                tasks[report.what] = bars.add_task(what, total=None, unit=report.unit)
            bars.update(tasks[report.what], completed=report.done, total=report.total)

        return work_on_datasets(request, answer_type, show)
