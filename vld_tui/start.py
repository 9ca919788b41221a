"""The start of ``vld-tui``: loads what the first frame needs, and the rest later."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from vld_tui.home import Home, HomeError, open_home
from vld_tui.words.terminal import is_dumb
from vld_tui.words.utf8 import use_utf8_names


def main() -> None:
    """Open the dashboard, or pass arguments other than ``--home`` to the command line."""
    use_utf8_names()
    home = _only_home(sys.argv[1:]) if sys.stdout.isatty() and not is_dumb() else None
    if home is None:
        from vld_tui.cli.dashboard import main as main_of_command

        main_of_command()
    else:
        gc.disable()  # the dashboard enables it after the first frame
        from vld_tui.dashboard.app import run_dashboard

        run_dashboard(home)


def _only_home(arguments: list[str]) -> Home | None:
    """Return the home if there are no arguments besides ``--home``, else None."""
    match arguments:
        case []:
            folder = None
        case ["--home", name] if not name.startswith("-"):
            folder = Path(name)
        case [argument] if argument.startswith("--home="):
            folder = Path(argument.removeprefix("--home="))
        case _:
            return None
    try:
        return open_home(folder)
    except HomeError:  # the command line reports it
        return None
