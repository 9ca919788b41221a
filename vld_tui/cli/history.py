"""``vld rm``, ``vld restore`` and ``vld rebuild``: trash runs, restore them, and read all again."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import Command, RunsOrNone, run_argument
from vld_tui.cli.errors import FAILED_EXIT, CommandError, YesOption, ask
from vld_tui.cli.options import MatchingOption
from vld_tui.cli.output import say, suggest, with_home
from vld_tui.cli.session import open_store, refresh, this_home
from vld_tui.control.pull import find_run
from vld_tui.runs.imported import ImportedRun, delete_imported
from vld_tui.runs.run import QUEUED, Run
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)
TrashedRuns = Annotated[
    list[str],
    run_argument("RUN...", "Run ids, unique id prefixes, names or @last.", "trashed runs"),
]


@app.command(cls=Command)
def rm(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    empty_trash: Annotated[
        bool, typer.Option("--empty-trash", help="Permanently delete the runs in the trash.")
    ] = False,
    where: MatchingOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List matching runs without removing them.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Move runs to the trash."""
    if sum((bool(runs), where is not None, empty_trash)) != 1:
        raise CommandError("Pass exactly one of: runs, --where, --empty-trash.")
    with open_store(ctx) as store:
        if empty_trash:
            _empty(store, asks=not yes)
            return
        refresh(store)
        found = [find_run(store, reference) for reference in runs or ()]
        chosen = [each for each in found if isinstance(each, Run)]
        imported = [each for each in found if isinstance(each, ImportedRun)]
        if where is not None:
            chosen = _matching(store, where)
        if dry_run:
            for run in chosen:
                say(f"would move to the trash: {run.run_id}  {run.name}")
            for each in imported:
                say(f"would delete: {each.run_id}  {each.name}")
            return
        if where is not None and chosen and not yes:
            ask(f"Move {plural(len(chosen), 'run')} to the trash?", refusal="Nothing was removed.")
        for each in imported:
            delete_imported(store.home.imported, each)
            say(f"deleted: {each.run_id}  {each.name} (files in {each.source} are kept)")
        for run in chosen:
            store.trash.move(run.run_id)
            say(f"moved to the trash: {run.run_id}  {run.name}")
            suggest([(f"vld restore {run.run_id}", "undo")])


def _matching(store: Store, where: str) -> list[Run]:
    """Return the matching runs that have ended, and report how many have not."""
    matching = store.runs.find(store.runs.query(where))
    over = [run for run in matching if not (run.is_live or run.status == QUEUED)]
    if not matching:
        say(f"No run matches {where!r}.", to_stderr=True)
    elif len(over) < len(matching):
        left = plural(len(matching) - len(over), "run")
        how = with_home("vld stop")
        say(f"Skipped {left} that have not ended ({how} stops them).", to_stderr=True)
    return over


def _empty(store: Store, *, asks: bool) -> None:
    trashed = store.runs.find(trashed=True)
    if not trashed:
        say("The trash is empty.")
        return
    if asks and not typer.confirm(f"Permanently delete {plural(len(trashed), 'run')}?"):
        raise CommandError("Nothing was deleted.", exit_code=FAILED_EXIT)
    say(f"deleted {plural(store.trash.empty(), 'run')}")


@app.command(cls=Command)
def restore(ctx: typer.Context, runs: TrashedRuns) -> None:
    """Restore runs from the trash."""
    with open_store(ctx) as store:
        for run in [store.runs.get(reference, in_trash=True) for reference in runs]:
            store.trash.restore(run.run_id)
            say(f"restored {run.run_id}  {run.name}")


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
