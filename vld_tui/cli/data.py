"""``vld data``: the data sets a run can be made on."""

from __future__ import annotations

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.inspection import ask_engine
from vld_tui.cli.output import print_json
from vld_tui.views.inventory import dataset_lines

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Keep ``ls`` a subcommand though it is the only one."""


@app.command(cls=Command, help="List data sets, their domains and classes.")
def ls(as_json: JsonOption = False) -> None:
    """Print the data sets the engine knows; --data takes any folder besides."""
    datasets = ask_engine("data")
    if as_json:
        print_json(datasets)
        return
    for line in dataset_lines(datasets):
        typer.echo(line)
