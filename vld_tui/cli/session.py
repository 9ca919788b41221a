"""Where a command works: the home and the history in it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from vld_tui.cli.command import home_option
from vld_tui.cli.output import say
from vld_tui.home import Home, find_named_home, look_at_home, open_home
from vld_tui.store.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DatabaseUnwritable,
    StoreError,
)
from vld_tui.store.store import Store


def this_home(ctx: typer.Context, *, to_look: bool = False) -> Home:
    """Open the home that ``--home`` or ``VLD_HOME`` names; ``to_look``: to be read only, and not
    made.

    Raises:
        HomeError: when it cannot be written, or not even read.
    """
    return look_at_home(home_option(ctx)) if to_look else open_home(home_option(ctx))


def open_store(ctx: typer.Context, *, to_look: bool = False, may_be_new: bool = False) -> Store:
    """Open the history of this home, as all who have it know it; ``to_look``: to be read only.

    ``may_be_new``: a home that is named need not exist, as what is planned would make it.

    Raises:
        HomeError: when the home cannot be written, or one that is named is not there to look at.
        StoreError: when the database cannot be used.
    """
    if to_look and not may_be_new:
        find_named_home(home_option(ctx))
    home = this_home(ctx, to_look=to_look)
    if to_look and not home.is_made:
        return Store.without_history(home)
    store = Store.open(home)
    store.is_to_look = to_look
    try:
        store.look_for_others()
    except BaseException:
        store.close()
        raise
    return store


def refresh(store: Store) -> None:
    """Bring history up to date, with the cluster's jobs if there are any; say what kept it from
    asking those.

    Raises:
        StoreError: when it cannot be brought up to date.
    """
    store.refresh()
    if not store.open_jobs() and not store.home.jobs.is_dir():
        return
    from vld_tui.launch.slurm.watch import look_at_jobs  # many do without a cluster

    problem = look_at_jobs(store)
    if problem is not None:
        say(f"the cluster's jobs are as they were: {problem}", to_stderr=True)


def refresh_or_say(store: Store, *, with_jobs: bool = True) -> None:
    """Bring history up to date before it is shown; where it cannot be written, as on a full disk or
    while another program holds it, in a copy. Say why.

    ``with_jobs``: a cluster is asked for its jobs as well, if there are any.

    Raises:
        DatabaseDamaged: when there is nothing to show either.
    """
    problem: StoreError | None = None
    try:
        if not store.is_read_only:
            refresh(store) if with_jobs else store.refresh()
            return
        if store.problem is not None:
            problem = StoreError(store.problem)
        elif not any(store.count_statuses().values()):
            return
    except DatabaseDamaged:
        raise
    except StoreError as error:
        problem = error
    try:
        store.work_on_copy()
        store.refresh()
    except StoreError as error:
        say(f"not up to date: {problem or error}", to_stderr=True)
    else:
        if problem is not None:
            say(f"read from the run folders, not recorded: {problem}", to_stderr=True)


def open_for_runs(
    ctx: typer.Context, references: Sequence[str], *, with_jobs: bool = True
) -> Store:
    """Open the history to look at runs, up to date; where it cannot be used, one in memory of
    their folders alone.

    Raises:
        HomeError: when the home that is named is not there.
        RunNotFound: when there is no such run.
        AmbiguousRun: when there are several.
    """
    store: Store | None = None
    try:
        store = open_store(ctx, to_look=True)
        refresh_or_say(store, with_jobs=with_jobs)
        for reference in references:
            store.get(reference)
    except (DatabaseLocked, DatabaseUnwritable, DatabaseDamaged) as error:
        if store is not None:
            store.close()
        say(f"read from the run's folder alone: {error}", to_stderr=True)
        return Store.of_folders(this_home(ctx, to_look=True), references)
    except BaseException:
        if store is not None:
            store.close()
        raise
    return store
