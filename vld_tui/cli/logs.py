"""``vld logs``: what a run's process wrote."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.session import open_store
from vld_tui.views.text import plain_text

POLL_INTERVAL_S: Final = 0.2

app = typer.Typer(add_completion=False, rich_markup_mode=None)

FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")
]
LinesOption = Annotated[
    int | None, typer.Option("--lines", "-n", metavar="N", help="Only the last N lines.")
]


@app.command(cls=Command)
def logs(
    ctx: typer.Context, run: RunArgument, follow: FollowOption = False, lines: LinesOption = None
) -> None:
    """Print a run's log, control characters made visible."""
    if lines is not None and lines < 0:
        raise CommandError(f"--lines is {lines}, but must be 0 or more.")
    with open_store(ctx) as store:
        store.refresh()
        known = store.get(run)
        path = store.run_dir(known.run_id).log
        if not path.exists():
            raise CommandError(f"Run {known.run_id} has written no log yet ({path}).")
        with path.open(encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            for line in deque(file, maxlen=lines):
                _print(line)
            while follow:
                is_live = store.get(known.run_id).is_live
                for line in file:
                    _print(line)
                if not is_live:
                    return
                time.sleep(POLL_INTERVAL_S)


def _print(line: str) -> None:
    sys.stdout.write(plain_text(line, keep_newlines=True))
    sys.stdout.flush()
