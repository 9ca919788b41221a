"""``vld export``: export a run's network for use without this program."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from engine.protocol.export import TARGETS
from vld_tui.cli.command import Command, JsonOption, RunArgument, proposes
from vld_tui.cli.errors import check_choice
from vld_tui.cli.network import ArmOption, AtOption, NoCalibrationOption, checkpoint_named
from vld_tui.cli.output import print_json, say, suggest
from vld_tui.cli.session import open_for_runs
from vld_tui.cli.work import showing_work
from vld_tui.control.export import export_network
from vld_tui.views.exported import exported_lines
from vld_tui.words import use_help

app = typer.Typer(add_completion=False, rich_markup_mode=None)

ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="|".join(TARGETS),
        help=use_help.FORM,
        autocompletion=proposes(tuple(TARGETS)),
    ),
]
PushOption = Annotated[
    str | None,
    typer.Option(
        "--push",
        metavar="OWNER/NAME",
        help=use_help.PUSH,
    ),
]


@app.command(cls=Command)
def export(
    ctx: typer.Context,
    run: RunArgument,
    destination: Annotated[
        str, typer.Argument(metavar="DIR", help=use_help.FOLDER, show_default=False)
    ],
    to: ToOption,
    arm: ArmOption = None,
    at: AtOption = "best",
    no_calibration: NoCalibrationOption = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help=use_help.FORCE,
        ),
    ] = False,
    push: PushOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a run's network for use without this program.

    The exported files are loaded and compared with the network before they are put in place.
    """
    target = check_choice("--to", to, TARGETS)
    with open_for_runs(ctx, [run], with_jobs=False) as store, showing_work() as show:
        exported = export_network(
            store, run, target, destination, arm=arm, at=checkpoint_named(at),
            calibrates=not no_calibration, replaces=force, push_to=push, on_report=show,
        )  # fmt: skip
    if as_json:
        print_json(msgspec.to_builtins(exported) | {"size_bytes": exported.size_bytes})
        return
    for line in exported_lines(exported):
        say(line)
    if exported.url is None and exported.to == "hub":
        suggest([(f"hf upload OWNER/NAME {exported.folder}", "upload it")])
