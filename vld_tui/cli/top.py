"""``vld top``: watch processors, memory, disk and GPUs of this machine, and its running runs."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.errors import CommandError
from vld_tui.cli.output import plain_console, print_json, say, terminal_cells
from vld_tui.cli.session import open_store, refresh_or_say
from vld_tui.control.top import MachineState, MachineWatch
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.views.machine import machine_lines

OBSERVED_S: Final = 0.5
"""Seconds over which processor use is measured before it is first shown."""
FASTEST_S, SLOWEST_S = 0.5, 3600.0

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def top(
    ctx: typer.Context,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", help="Refresh interval (s).")
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print the state once, as plain text.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch processors, memory, disk and GPUs of this machine, and its running runs.

    Press ctrl+c to stop. Without a terminal, the state is printed once.
    """
    if not FASTEST_S <= every <= SLOWEST_S:
        raise CommandError(f"--every is {every:g}, but must be from {FASTEST_S} to 3,600.")
    with open_store(ctx, to_look=True, may_be_new=True) as store:
        watch = MachineWatch(store)
        refresh_or_say(store, with_jobs=False)
        watch.read()
        time.sleep(OBSERVED_S)
        state = watch.read()
        if as_json:
            print_json(state.as_record())
        elif once or not sys.stdout.isatty():
            for line in machine_lines(state, terminal_cells()):
                say(line)
        else:
            _follow(store, watch, state, every)


def _follow(store: Store, watch: MachineWatch, state: MachineState, every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    console = plain_console()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            lines = machine_lines(state, console.width)
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(every)
            with contextlib.suppress(StoreError):  # next time
                store.live.refresh()
            state = watch.read()
