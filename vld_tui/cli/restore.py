"""``vld restore``: restore runs from the trash."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import Command, run_argument
from vld_tui.cli.output import say
from vld_tui.cli.session import open_store

TrashedRuns = Annotated[
    list[str],
    run_argument("RUN...", "Run ids, unique id prefixes, names or @last.", "trashed runs"),
]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def restore(ctx: typer.Context, runs: TrashedRuns) -> None:
    """Restore runs from the trash."""
    with open_store(ctx) as store:
        for run in [store.runs.get(reference, in_trash=True) for reference in runs]:
            store.trash.restore(run.run_id)
            say(f"restored {run.run_id}  {run.name}")
