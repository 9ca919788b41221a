"""Where a command works: the home and the history in it."""

from __future__ import annotations

import typer

from vld_tui.cli.command import home_option
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store


def this_home(ctx: typer.Context) -> Home:
    """Open the home that ``--home`` or ``VLD_HOME`` names.

    Raises:
        HomeError: when it cannot be written.
    """
    return open_home(home_option(ctx))


def open_store(ctx: typer.Context) -> Store:
    """Open the history of this home.

    Raises:
        HomeError: when the home cannot be written.
        StoreError: when the database cannot be used.
    """
    return Store.open(this_home(ctx))
