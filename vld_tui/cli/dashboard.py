"""``vld-tui``: the dashboard."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Annotated

import typer

from engine.protocol import UserError
from vld_tui.cli.command import Command
from vld_tui.cli.group import ErrorsInWords
from vld_tui.cli.output import home_option, plain_console, settle_streams
from vld_tui.cli.session import open_store
from vld_tui.home import HomeError, absence, find_home, open_home
from vld_tui.words.terminal import is_dumb

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OnceOption = Annotated[bool, typer.Option("--once", help="Print the list of runs and exit.")]


class _Dashboard(ErrorsInWords, Command):  # type: ignore[misc]
    """The ``vld-tui`` program."""


@app.command(cls=_Dashboard, help="Configure, launch and monitor runs. Press ? for the keys.")
def dashboard(ctx: typer.Context, once: OnceOption = False) -> None:
    """Open the dashboard; runs keep running after it is closed."""
    if once or not sys.stdout.isatty():
        _print_once(ctx)
        return
    if is_dumb():
        raise UserError(
            f"The dashboard needs a full terminal, but TERM is {os.environ['TERM']}.\n"
            "Print the runs with vld-tui --once or vld ls, or use a browser: vld serve"
        )
    home = open_home(home_option(ctx), to_look=True)
    from vld_tui.dashboard.app import make_dashboard  # Textual takes a moment

    make_dashboard(home).run()


def _print_once(ctx: typer.Context) -> None:
    from vld_tui.views.run_columns import run_table
    from vld_tui.views.status_line import status_text

    home = find_home(home_option(ctx))
    if not home.database.is_file():  # likely a mistyped name: create nothing
        raise HomeError(absence(home))
    console = plain_console()
    with open_store(ctx, to_look=True) as store:
        store.live.refresh()
        runs = store.runs.find(limit=max(5, shutil.get_terminal_size().lines - 3))
        count, live = store.runs.count(), store.runs.count_statuses()
        console.print(status_text(count, live, None, home=str(home.path), problem=None))
        if runs:
            console.print(run_table(runs, now=time.time(), cells=console.width))


def main() -> None:
    """Run ``vld-tui`` with this process's arguments."""
    settle_streams()
    app(prog_name="vld-tui")
