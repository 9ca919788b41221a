"""``vld pull``: import runs from the files of another experiment tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vld_tui.cli.command import Command, JsonOption, proposes
from vld_tui.cli.errors import check_choice
from vld_tui.cli.output import print_json, say, suggest
from vld_tui.cli.session import this_home
from vld_tui.control.pull import ID_CURVE, OOD_CURVE, Reading
from vld_tui.control.pull import pull as pull_runs
from vld_tui.trackers import READABLE
from vld_tui.views.imported import imported_lines, imported_record

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def pull(
    ctx: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder with the tracker's files.", show_default=False),
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TRACKER",
            help=f"{' or '.join(READABLE)}.",
            show_default=False,
            autocompletion=proposes(READABLE),
        ),
    ],
    id_curve: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="CURVE", help=f"Curve of the ID accuracy. [default: {ID_CURVE}]"
        ),
    ] = None,
    ood_curve: Annotated[
        str | None,
        typer.Option(
            "--ood", metavar="CURVE", help=f"Curve of the OOD accuracy. [default: {OOD_CURVE}]"
        ),
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent", help="These accuracies are in percent.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Import runs to compare with. They are shown and plotted, never resumed or counted in studies.

    Pull again to update them.
    """
    reading = Reading(id_curve, ood_curve, is_percent=percent)
    runs = pull_runs(this_home(ctx), check_choice("--from", source, READABLE), folder, reading)
    if as_json:
        print_json([imported_record(run) for run in runs])
        return
    for line in imported_lines(runs):
        say(line)
    suggest(
        [
            (f"vld curve {runs[0].run_id}", "plot its curves"),
            (f"vld compare @last {runs[0].run_id}", "compare it with a run"),
        ]
    )
