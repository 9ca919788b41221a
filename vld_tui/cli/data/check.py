"""``vld data check``: find problems that would invalidate a run on a data set."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine.protocol import FIELDS
from engine.protocol.datasets import CheckDataset, CheckReport
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.work import LayoutOption, WhatArgument, checked_layout, do_work
from vld_tui.cli.draw.data_check import check_report_lines
from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import this_home
from vld_tui.launch.datasets import DatasetError, values_of

NearOption = Annotated[
    int,
    typer.Option(
        "--near",
        metavar="BITS",
        help="Report near-duplicates whose 64-bit perceptual hashes differ by at most this many "
        "bits; 0: exact copies only. [default: 4]",
        show_default=False,
    ),
]
SheetOption = Annotated[
    Path | None,
    typer.Option(
        "--sheet", metavar="FILE", help="Write a contact sheet of every class to a PNG file."
    ),
]

ShowOption = Annotated[
    bool, typer.Option("--show", help="Show an image of every class and domain in the terminal.")
]

AllOption = Annotated[
    bool, typer.Option("--all", help="List every class, file and pair, without a limit.")
]
FractionOption = Annotated[
    float,
    typer.Option(
        "--validation-fraction",
        metavar="F",
        help="Share of each domain held out for validation.",
    ),
]


def check(
    ctx: typer.Context,
    what: WhatArgument,
    near: NearOption = 4,
    sheet: SheetOption = None,
    show: ShowOption = False,
    layout: LayoutOption = "auto",
    show_all: AllOption = False,
    validation_fraction: FractionOption = FIELDS["validation_fraction"].default,
    as_json: JsonOption = False,
) -> None:
    """Read, count and compare all images. Exits with 1 if a problem would invalidate a run."""
    if not 0 <= near <= 32:
        raise CommandError(f"--near is {near}, but must be from 0 to 32.")
    if not 0 < validation_fraction < 1:
        raise CommandError(
            f"--validation-fraction is {validation_fraction:g}, but must be between 0 and 1."
        )
    found = values_of(this_home(ctx, to_look=True), what)
    with tempfile.TemporaryDirectory() as scratch:
        tiles = Path(scratch) / "tiles.png"
        request = CheckDataset(
            location=str(found.get("data_dir") or ""),
            name=str(found["dataset"]),
            near_distance=near,
            sheet=str(sheet.expanduser().absolute()) if sheet else None,
            tiles=str(tiles) if show and not as_json else None,
            layout=checked_layout(layout),
            validation_fraction=validation_fraction,
        )
        try:
            report = do_work(request, CheckReport)
        except DatasetError as error:  # no run could use it
            raise CommandError(str(error), exit_code=FAILED_EXIT) from None
        if as_json:
            print_json(report)
        else:
            _tell(report, sheet, tiles if show else None, shows_all=show_all)
    if any(finding.spoils for finding in report.findings):
        raise typer.Exit(FAILED_EXIT)


def _tell(report: CheckReport, sheet: Path | None, tiles: Path | None, *, shows_all: bool) -> None:
    terminal = shutil.get_terminal_size().columns
    if tiles is not None:
        from vld_tui.cli.draw.tiles import tile_rows  # PIL, for images only

        console = Console(width=terminal, highlight=False)
        for row in tile_rows(
            tiles,
            list(report.counts),
            report.classes,
            cells=terminal,
            colour=not console.no_color,
        ):
            console.print(row)
    cells = terminal if sys.stdout.isatty() else None
    for line in check_report_lines(report, cells=cells, shows_all=shows_all):
        say(line)
    if sheet is not None:
        say(f"contact sheet: {sheet}")
