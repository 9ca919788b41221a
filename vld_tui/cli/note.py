"""``vld note``: set or remove a run's note."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.output import say
from vld_tui.cli.session import open_store

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def note(
    ctx: typer.Context,
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="New note; '' removes it.")],
) -> None:
    """Replace a run's note."""
    with open_store(ctx) as store:
        known = store.runs.get(run)
        store.labels.set_note(known.run_id, text)
    say(f"{known.run_id}  note {'set' if text else 'removed'}")
