"""``vld-tui``: the dashboard."""

from __future__ import annotations

import os
import shutil
import sys
import time
from functools import partial
from typing import Annotated, Final

import typer

from engine.protocol import UserError
from vld_tui.cli.command import Command, is_debugging
from vld_tui.cli.errors import CommandError
from vld_tui.cli.group import ErrorsInWords
from vld_tui.cli.options import WhereOption
from vld_tui.cli.output import home_option, plain_console, settle_streams
from vld_tui.cli.session import open_store
from vld_tui.home import HomeError, absence, find_home, open_home
from vld_tui.store.query import Query
from vld_tui.words.numbers import plural
from vld_tui.words.terminal import is_dumb
from vld_tui.words.text import plain_text

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FEWEST_ROWS: Final = 5
"""Runs that are printed even on a very low terminal."""
OnceOption = Annotated[bool, typer.Option("--once", help="Print the list of runs and exit.")]
HostOption = Annotated[
    str | None,
    typer.Option(
        "--host", metavar="[USER@]HOST",
        help="Run vld-tui on another machine, over ssh, in this terminal; --home is then a folder "
        "on that machine.",
    ),
]  # fmt: skip


class _Dashboard(ErrorsInWords, Command):  # type: ignore[misc]
    """The ``vld-tui`` program."""


@app.command(cls=_Dashboard, help="Configure, launch and monitor runs. Press ? for the keys.")
def dashboard(
    ctx: typer.Context,
    once: OnceOption = False,
    where: WhereOption = None,
    host: HostOption = None,
) -> None:
    """Open the dashboard; runs keep running after it is closed."""
    prints = once or not sys.stdout.isatty()
    if where is not None and not prints:
        raise CommandError("--where needs --once; in the dashboard, press / to filter.")
    if host is not None:
        raise typer.Exit(_run_on(host, ctx, once=once, where=where))
    if prints:
        _print_once(ctx, where or "")
        return
    if is_dumb():
        raise UserError(
            f"The dashboard needs a full terminal, but TERM is {os.environ['TERM']}.\n"
            "Print the runs with vld-tui --once or vld ls, or use a browser: vld serve"
        )
    home = open_home(home_option(ctx), to_look=True)
    from vld_tui.dashboard.app import run_dashboard  # Textual takes a moment

    run_dashboard(home)


def _run_on(host: str, ctx: typer.Context, *, once: bool, where: str | None) -> int:
    """Run the ``vld-tui`` of another machine with these options; return its exit status."""
    from vld_tui.launch.ssh import run_over_ssh

    options = ["--once"] if once else []
    options += [] if where is None else ["--where", where]
    options += [] if (home := home_option(ctx)) is None else ["--home", str(home)]
    options += ["--debug"] if is_debugging(ctx) else []
    return run_over_ssh(host, "vld-tui", options)


def _print_once(ctx: typer.Context, where: str) -> None:
    from vld_tui.views.run_columns import run_table
    from vld_tui.views.status_line import status_text

    Query.parse(where)  # checked before the home is opened
    home = find_home(home_option(ctx))
    if not home.database.is_file():  # likely a mistyped name: create nothing
        raise HomeError(absence(home))
    console = plain_console()
    with open_store(ctx, to_look=True) as store:
        store.live.refresh()
        query = store.runs.query(where)
        runs = store.runs.find(query, limit=max(FEWEST_ROWS, shutil.get_terminal_size().lines - 4))
        total, matching = store.runs.count(), store.runs.count(query)
        live = store.runs.count_statuses()
    put = partial(console.print, no_wrap=True, overflow="ellipsis")  # a Text's own are ignored
    put(status_text(total, live, None, home=str(home.path), problem=None))
    if where:
        put(f" {matching:,} of {total:,} match: {plain_text(where)}")
    if runs:
        put(run_table(runs, now=time.time(), cells=console.width))
    if matching > len(runs):
        put(f" … and {plural(matching - len(runs), 'more run')}", style="dim")


def main() -> None:
    """Run ``vld-tui`` with this process's arguments."""
    settle_streams()
    app(prog_name="vld-tui")
