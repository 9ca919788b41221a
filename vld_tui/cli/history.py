"""``vld rm``, ``vld restore`` and ``vld rebuild``: trash runs, restore them, and read all again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, JsonOption, RunsOrNone, run_argument
from vld_tui.cli.errors import FAILED_EXIT, CommandError, YesOption, ask, raise_refusals
from vld_tui.cli.options import MatchingOption
from vld_tui.cli.output import print_json, say, suggest, with_home
from vld_tui.cli.session import open_store, refresh, this_home
from vld_tui.control.edits import trash
from vld_tui.control.pull import find_run
from vld_tui.control.trash import (
    TrashedRun,
    delete,
    find_trashed,
    measured,
    total_bytes,
    trashed_runs,
)
from vld_tui.control.trash import restore as restore_runs
from vld_tui.runs.imported import ImportedRun, delete_imported
from vld_tui.runs.run import GONE, QUEUED, Run
from vld_tui.store.missing_folders import IF_DELETED
from vld_tui.store.store import Store
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, moment, plural, size
from vld_tui.words.text import plain_text

app = typer.Typer(add_completion=False, rich_markup_mode=None)
TrashedRuns = Annotated[
    list[str] | None,
    run_argument(
        "[RUN...]",
        "Run ids, unique id prefixes, names or @last; without them, list the trash.",
        "trashed runs",
    ),
]
EmptyTrashOption = Annotated[
    bool,
    typer.Option(
        "--empty-trash", help="Permanently delete the given runs in the trash, or all of it."
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="List matching runs without removing them.")
]
_TRASH_COLUMNS: Final = (
    Column("name", rank=98),
    Column("status", rank=97),
    Column("trashed", rank=99),
    Column("size", right=True, rank=99),
    Column("run", rank=100),
)


@app.command(cls=Command)
def rm(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    empty_trash: EmptyTrashOption = False,
    where: MatchingOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Move runs to the trash."""
    if sum((bool(runs) or empty_trash, where is not None)) != 1:
        raise CommandError("Pass exactly one of: runs, --where, --empty-trash.")
    with open_store(ctx) as store:
        if empty_trash:
            _empty(store, runs or (), asks=not yes, dry_run=dry_run)
            return
        refresh(store)
        found = [find_run(store, reference) for reference in runs or ()]
        chosen = [each for each in found if isinstance(each, Run)]
        imported = [each for each in found if isinstance(each, ImportedRun)]
        if where is not None:
            chosen = _matching(store, where)
        if dry_run:
            for run in chosen:
                say(f"would move to the trash: {run.run_id}  {run.label}")
            for each in imported:
                say(f"would delete: {each.run_id}  {each.name}")
            return
        _refuse_unmounted(store, chosen)
        if not yes:
            _confirm(chosen, has_query=where is not None)
        for each in imported:
            delete_imported(store.home.imported, each)
            say(f"deleted: {each.run_id}  {each.name} (files in {each.source} are kept)")
        _trash(store, chosen)


def _refuse_unmounted(store: Store, chosen: Sequence[Run]) -> None:
    """Check that no folder of a run to remove may be on a disk that is not mounted.

    Raises:
        CommandError: naming the folder of runs.
    """
    if all(run.status == GONE for run in chosen) or (problem := store.missing.problem()) is None:
        return
    raise CommandError(f"Nothing was removed: {problem}\n{IF_DELETED}")


def _confirm(chosen: Sequence[Run], *, has_query: bool) -> None:
    """Ask whether to remove the runs that match a query, or to forget runs without a folder."""
    gone = [run for run in chosen if run.status == GONE]
    if has_query and chosen:
        ask(f"Move {plural(len(chosen), 'run')} to the trash?", refusal="Nothing was removed.")
    elif gone:
        what = gone[0].label if len(gone) == 1 else plural(len(gone), "run")
        ask(f"Forget {what}, whose folder is missing?", refusal="Nothing was removed.")


def _trash(store: Store, chosen: Sequence[Run]) -> None:
    done = trash(store, [run.run_id for run in chosen])
    for run in done.runs:
        how = "forgotten" if run.status == GONE else "moved to the trash"
        say(f"{how}: {run.run_id}  {run.label}")
        suggest([(f"vld restore {run.run_id}", "undo")])
    raise_refusals(done.refusals)


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


def _empty(store: Store, references: Sequence[str], *, asks: bool, dry_run: bool) -> None:
    """Permanently delete runs of the trash, or everything in it."""
    trashed = find_trashed(store, references) if references else _all_trashed(store)
    if not trashed:
        say("The trash is empty.")
        return
    if dry_run:
        for line in _trash_lines(trashed):
            say(f"would delete permanently: {line}")
        return
    what = f"{plural(len(trashed), 'run')} ({size(total_bytes(trashed))})"
    if asks and not typer.confirm(f"Permanently delete {what}?"):
        raise CommandError("Nothing was deleted.", exit_code=FAILED_EXIT)
    if references:
        done = delete(store, [each.run.run_id for each in trashed])
        deleted = [each for each in trashed if each.run.run_id in done.run_ids]
        if deleted:
            say(f"deleted {plural(len(deleted), 'run')} ({size(total_bytes(deleted))})")
        raise_refusals(done.refusals)
    else:
        say(f"deleted {plural(store.trash.empty(), 'run')} ({size(total_bytes(trashed))})")


def _all_trashed(store: Store) -> list[TrashedRun]:
    return [measured(store, each) for each in trashed_runs(store)]


@app.command(cls=Command)
def restore(ctx: typer.Context, runs: TrashedRuns = None, as_json: JsonOption = False) -> None:
    """Restore runs from the trash, or list the runs in it."""
    with open_store(ctx) as store:
        if not runs:
            _print_trash(_all_trashed(store), as_json=as_json)
            return
        if as_json:
            raise CommandError("--json only lists the trash: pass no runs.")
        found = [store.runs.get(reference, in_trash=True) for reference in runs]
        done = restore_runs(store, [run.run_id for run in found])
        for run in done.runs:
            say(f"restored {run.run_id}  {run.label}")
        raise_refusals(done.refusals)


def _print_trash(trashed: Sequence[TrashedRun], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "run": run.run_id,
                    "name": run.name,
                    "status": run.status,
                    "trashed_at": run.trashed_at,
                    "bytes": found,
                }
                for run, found in trashed
            ]
        )
        return
    if not trashed:
        say("The trash is empty.")
        return
    for line in _trash_lines(trashed, heading=True):
        say(line)
    suggest([("vld restore RUN", "restore"), ("vld rm --empty-trash", "delete permanently")])


def _trash_lines(trashed: Sequence[TrashedRun], *, heading: bool = False) -> list[str]:
    """Return a line for each run in the trash."""
    rows = [
        (
            plain_text(run.label),
            run.status,
            UNKNOWN if run.trashed_at is None else moment(run.trashed_at),
            size(found),
            run.run_id,
        )
        for run, found in trashed
    ]
    return list(table_lines(_TRASH_COLUMNS, rows))[0 if heading else 1 :]


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
