"""The home and the history that a command works on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import typer

from vld_tui.cli.output import home_option, on_one_line, say, with_home
from vld_tui.home import Home, find_named_home, look_at_home, open_home
from vld_tui.launch.notify.process import call_notifier
from vld_tui.runs.imported import ImportedRun, find_imported
from vld_tui.store.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DatabaseUnwritable,
    RunNotFound,
    StoreError,
)
from vld_tui.store.store import Store
from vld_tui.views.notifications import failure_lines


def this_home(ctx: typer.Context, *, to_look: bool = False) -> Home:
    """Open the home that ``--home`` or ``VLD_HOME`` names; ``to_look``: read-only, not created.

    Raises:
        HomeError: when it cannot be written, or read with ``to_look``.
    """
    return look_at_home(home_option(ctx)) if to_look else open_home(home_option(ctx))


def open_store(ctx: typer.Context, *, to_look: bool = False, may_be_new: bool = False) -> Store:
    """Open the history of this home, including runs of other machines; ``to_look``: read-only.

    ``may_be_new``: a home given by name need not exist.

    Raises:
        HomeError: when the home cannot be written, or does not exist with ``to_look``.
        StoreError: when the database cannot be used.
    """
    if to_look and not may_be_new:
        find_named_home(home_option(ctx))
    home = this_home(ctx, to_look=to_look)
    if to_look and not home.is_made:
        return Store.without_history(home)
    store = Store.open(home)
    store.live.may_use_copy = to_look
    try:
        store.folders.look_for_others()
        with contextlib.suppress(StoreError):  # the command reports it, if it needs the history
            _look_after_notifications(store)
    except BaseException:
        store.close()
        raise
    return store


def refresh(store: Store) -> None:
    """Update the history, including cluster jobs; report if their states cannot be read.

    Raises:
        StoreError: when the history cannot be updated.
    """
    store.live.refresh()
    if (missing := store.missing.look()) is not None:
        say(missing, to_stderr=True)
    if not store.jobs.open() and not store.home.jobs.is_dir():
        return
    from vld_tui.launch.slurm.jobs import look_at_jobs  # only with a cluster

    problem = look_at_jobs(store)
    if problem is not None:
        say(f"could not refresh job states: {on_one_line(problem)}", to_stderr=True)


def _look_after_notifications(store: Store) -> None:
    """Have runs watched and notifications sent, and report each that could not be sent once.

    Raises:
        StoreError: when the history cannot be read.
    """
    if (problem := call_notifier(store)) is not None:
        say(problem, to_stderr=True)
    for line in failure_lines(store.notifications.take_failures()):
        say(with_home(line), to_stderr=True)


def refresh_or_say(store: Store, *, with_jobs: bool = True) -> None:
    """Update the history before it is shown; if it cannot be written (full disk, locked), update
    a copy and report why.

    ``with_jobs``: also refresh cluster jobs, if any.

    Raises:
        DatabaseDamaged: when the copy cannot be read either.
    """
    problem: StoreError | None = None
    try:
        if not store.database.is_read_only:
            refresh(store) if with_jobs else store.live.refresh()
            return
        if store.database.problem is not None:
            problem = StoreError(store.database.problem)
        elif not any(store.runs.count_statuses().values()):
            return
    except DatabaseDamaged:
        raise
    except StoreError as error:
        problem = error
    try:
        store.live.work_on_copy()
        store.live.refresh()
    except StoreError as error:
        say(f"showing older data: {on_one_line(problem or error)}", to_stderr=True)
    else:
        if problem is not None:
            say(f"read from the run folders without saving: {on_one_line(problem)}", to_stderr=True)


def open_for_runs(
    ctx: typer.Context, references: Sequence[str], *, with_jobs: bool = True
) -> Store:
    """Open the updated history to show runs; if it cannot be used, build one in memory from the
    runs' folders.

    Raises:
        HomeError: when the home does not exist.
        RunNotFound: when no run matches.
        AmbiguousRun: when several runs match.
    """
    store: Store | None = None
    try:
        store = open_store(ctx, to_look=True)
        refresh_or_say(store, with_jobs=with_jobs)
        for reference in references:
            store.runs.get(reference)
    except (DatabaseLocked, DatabaseUnwritable, DatabaseDamaged) as error:
        if store is not None:
            store.close()
        say(f"read from the run folder only: {on_one_line(error)}", to_stderr=True)
        return Store.of_folders(this_home(ctx, to_look=True), references)
    except BaseException:
        if store is not None:
            store.close()
        raise
    return store


def find_imported_instead(ctx: typer.Context, reference: str, error: RunNotFound) -> ImportedRun:
    """Return the imported run that a reference means, since no run of the history does.

    Raises:
        RunNotFound: when there is none: the given error.
        ImportedError: when several match, or a file cannot be read.
    """
    found = find_imported(this_home(ctx, to_look=True).imported, reference)
    if found is None:
        raise error
    return found
