"""``vld rm``: move runs to the trash, or empty it."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import Command, RunsOrNone
from vld_tui.cli.errors import CommandError
from vld_tui.cli.output import say
from vld_tui.cli.session import open_store, refresh
from vld_tui.store.store import Store
from vld_tui.views.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def rm(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    empty_trash: Annotated[
        bool, typer.Option("--empty-trash", help="Delete what is in the trash, for good.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Move runs to the trash."""
    if bool(runs) == empty_trash:
        raise CommandError("Name the runs to remove, or give --empty-trash.")
    with open_store(ctx) as store:
        if empty_trash:
            _empty(store, asks=not yes)
            return
        refresh(store)
        for run in [store.get(reference) for reference in runs or ()]:
            store.trash(run.run_id)
            say(f"{run.run_id}  {run.name} is in the trash")
            say(f"  vld restore {run.run_id}  # takes it back")


def _empty(store: Store, *, asks: bool) -> None:
    trashed = store.list_runs(trashed=True)
    if not trashed:
        say("The trash is empty.")
        return
    if asks and not typer.confirm(f"Delete {plural(len(trashed), 'run')} for good?"):
        raise CommandError("Nothing was deleted.", exit_code=1)
    say(f"{plural(store.empty_trash(), 'run')} deleted")
