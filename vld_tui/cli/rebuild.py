"""``vld rebuild``: rebuild the database from the run folders."""

from __future__ import annotations

import typer

from vld_tui.cli.command import Command
from vld_tui.cli.output import say
from vld_tui.cli.session import this_home
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def rebuild(ctx: typer.Context) -> None:
    """Clear the database and read every run folder again; list damaged folders."""
    store, set_aside = Store.open_to_rebuild(this_home(ctx))
    with store:
        report = store.folders.rebuild()
    if set_aside is not None:
        say(f"the database was damaged; moved it to {set_aside}", to_stderr=True)
    trashed = f", {report.trashed:,} of them in the trash" if report.trashed else ""
    say(f"{plural(report.runs, 'run')} read{trashed}")
    for folder in report.damaged:
        say(f"cannot read {folder.path}", to_stderr=True)
        say(f"  {folder.reason}", to_stderr=True)
