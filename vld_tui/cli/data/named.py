"""``vld data rm`` and ``vld data mv``: remove and rename added data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.protocol.datasets import NamedSet, RemoveDataset, RenameDataset
from vld_tui.cli.asking import YesOption, ask
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.work import do_work
from vld_tui.cli.errors import CommandError
from vld_tui.cli.hints import with_home
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import open_store
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural, size

_SHOWN_RUNS = 5

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Data set; list them with vld data ls.")
]
NewNameArgument = Annotated[str, typer.Argument(metavar="NEW", help="New name.")]


def rm(
    ctx: typer.Context,
    name: NameArgument,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Imported images are deleted permanently; images used in place are kept."""
    with open_store(ctx) as store:
        root = str(store.home.datasets)
        found = do_work(RemoveDataset(root, name, is_trial=True), NamedSet)
        idle = refuse_busy(store, name)
        if not yes:
            question = f"{_question(found)}{_of_idle(idle)}"
            ask(question, refusal="Nothing was deleted.", hint="Pass --yes to confirm.")
        do_work(RemoveDataset(root, name), NamedSet)
    if as_json:
        print_json(found)
    elif found.in_place is not None:
        say(f"removed {name}; its images are kept in {found.in_place}")
    else:
        say(f"deleted {name}: {plural(found.files, 'file')}, {size(found.size_bytes)}")


def mv(
    ctx: typer.Context, name: NameArgument, new_name: NewNameArgument, as_json: JsonOption = False
) -> None:
    """Runs in the history keep the old name."""
    with open_store(ctx) as store:
        idle = refuse_busy(store, name)
        renamed = do_work(RenameDataset(str(store.home.datasets), name, new_name), NamedSet)
    if as_json:
        print_json(renamed)
        return
    say(f"renamed {name} to {new_name}")
    if idle:
        runs = plural(len(idle), "unfinished run")
        first = with_home(f"vld data mv {new_name} {name}")
        say(f"  to resume {runs} of {name}, first run: {first}")


def refuse_busy(store: Store, name: str) -> list[Run]:
    """Check that no queued or running run uses a data set; return its other unfinished runs.

    Raises:
        CommandError: naming the runs.
    """
    store.live.refresh()
    runs = _runs_on(store, name)
    busy = [run for run in runs if run.is_live or run.has_job or run.status == "queued"]
    if busy:
        names = ", ".join(run.name for run in busy[:_SHOWN_RUNS])
        more = f" and {len(busy) - _SHOWN_RUNS} more" if len(busy) > _SHOWN_RUNS else ""
        raise CommandError(
            f"{name} is in use by {plural(len(busy), 'queued or running run')}: {names}{more}. "
            "Stop them (vld stop) or remove them from the queue (vld queue rm) first."
        )
    return [run for run in runs if run not in busy]


def _runs_on(store: Store, name: str) -> list[Run]:
    """Return the unfinished runs that use an added data set."""
    folder = (store.home.datasets / name).absolute()
    return [
        run
        for run in store.runs.find(Query.parse("not status=finished"))
        if run.has_spec and run.spec.data_dir and Path(run.spec.data_dir).is_relative_to(folder)
    ]


def _question(found: NamedSet) -> str:
    if found.in_place is not None:
        return f"Remove {found.name}? Its images are kept in {found.in_place}."
    files = f"{plural(found.files, 'file')}, {size(found.size_bytes)}"
    return f"Permanently delete {found.name} ({files} in {found.folder})?"


def _of_idle(idle: list[Run]) -> str:
    if not idle:
        return ""
    return f" It is needed to resume {plural(len(idle), 'unfinished run')}."
