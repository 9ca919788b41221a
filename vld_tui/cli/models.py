"""``vld models``: the networks that a run can fine-tune."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import Command, Group, JsonOption
from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.cli.output import print_json, say, terminal_cells
from vld_tui.launch.local import LaunchError, ask_engine
from vld_tui.views.inventory import model_lines

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

PatternArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATTERN]",
        help="List all timm networks whose name contains or matches this, such as 'vit_*'.",
    ),
]


@app.callback()
def _models() -> None:
    """Keep ``ls`` a subcommand although it is the only one."""


@app.command(cls=Command, help="List networks and where their weights come from.")
def ls(pattern: PatternArgument = None, as_json: JsonOption = False) -> None:
    """Print recommended networks, or those that match."""
    try:
        models = ask_engine("models", *([pattern] if pattern else []))
    except LaunchError as error:
        raise CommandError(str(error), exit_code=FAILED_EXIT) from None
    if as_json:
        print_json(models)
        return
    if not models:
        raise CommandError(f"No timm network matches {pattern!r}.")
    for line in model_lines(models, cells=terminal_cells()):
        say(line)
