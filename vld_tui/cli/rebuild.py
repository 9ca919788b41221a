"""``vld rebuild``: read the history anew from the run folders."""

from __future__ import annotations

import typer

from vld_tui.cli.command import Command
from vld_tui.cli.output import say
from vld_tui.cli.session import open_store
from vld_tui.views.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def rebuild(ctx: typer.Context) -> None:
    """Drop what the database knows and read it again; damaged folders are listed."""
    with open_store(ctx) as store:
        report = store.rebuild()
    trashed = f", {report.trashed:,} of them in the trash" if report.trashed else ""
    say(f"{plural(report.runs, 'run')} read{trashed}")
    for folder in report.damaged:
        say(f"not read: {folder.path}", to_stderr=True)
        say(f"  {folder.reason}", to_stderr=True)
