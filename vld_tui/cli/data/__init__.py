"""``vld data``: the data sets a run can be made on."""

from __future__ import annotations

import typer

from vld_tui.cli.command import Command
from vld_tui.cli.data.ls import ls

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Keep ``ls`` a subcommand though it is the only one."""


app.command("ls", cls=Command, help="List data sets: domains, classes, counts, place.")(ls)
