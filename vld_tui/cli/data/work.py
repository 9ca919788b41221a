"""Run data set work in the engine, with progress on stderr."""

from __future__ import annotations

from typing import Annotated, TypeVar

import typer

from engine.protocol import FIELDS, SpecError
from engine.protocol.datasets import DatasetRequest
from engine.protocol.spec import Layout
from vld_tui.cli.command import proposes
from vld_tui.cli.errors import CommandError
from vld_tui.cli.work import showing_work
from vld_tui.home import absolute_path
from vld_tui.launch.datasets import work_on_datasets
from vld_tui.runs.fields import as_typed

Answer = TypeVar("Answer")

WhatArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH",
        help="Data set name (see vld data ls), or folder, table or archive of images.",
        autocompletion=proposes("data sets"),
    ),
]
ExcludeOption = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        metavar="FILE",
        help="Exclude list: images to leave out or to relabel (CSV with path, action and class, or "
        "one path per line).",
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


def exclude_file(given: str | None) -> str | None:
    """Return the full path of an exclude list.

    Raises:
        CommandError: for an empty path.
    """
    if given == "":
        raise CommandError("--exclude is empty. Give a path.")
    return given and str(absolute_path(given))


def names_in(text: str | None) -> tuple[str, ...]:
    """Return the names of a list such as ``A,B``; none if it is not given."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


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
    with showing_work() as show:
        return work_on_datasets(request, answer_type, show)
