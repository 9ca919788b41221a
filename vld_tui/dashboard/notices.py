"""What a terminal is told when a run ends: a bell, or a notice on the desktop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal

from vld_tui.words.text import plain_text, shorten

Notice = Literal["off", "bell", "desktop"]
NOTICES: Final[tuple[Notice, ...]] = ("off", "bell", "desktop")

TITLE: Final = "vld-tui"
BELL: Final = "\a"
NAME_CELLS: Final = 80
SHOWS_TITLES: Final = ("contour", "foot", "ghostty", "kitty", "konsole", "rxvt", "wezterm")
"""Terminals that show OSC 777, which has a title; most of them show OSC 9 as well."""


def notice_for(run_name: str, status: str, kind: Notice, *, terminal: str = "") -> str:
    """Return the escape sequence that tells of a run's end; empty: nothing is to be told.

    A desktop notice is sent both as OSC 9 (iTerm2) and OSC 777 (rxvt), as a terminal ignores the
    one it does not know; one whose name is known to show the second is not told twice.
    """
    if kind == "off":
        return ""
    if kind == "bell":
        return BELL
    name = shorten(_harmless(run_name), NAME_CELLS)
    body = f"{name}: {_harmless(status)}"
    titled = f"\x1b]777;notify;{TITLE};{body}{BELL}"
    if any(known in terminal.lower() for known in SHOWS_TITLES):
        return titled
    return f"\x1b]9;{TITLE}: {body}{BELL}{titled}"


def terminal_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return what is known of the terminal's name, also where it is at the other end of SSH."""
    return " ".join(environment.get(name, "") for name in ("TERM", "TERM_PROGRAM", "LC_TERMINAL"))


def _harmless(text: str) -> str:
    """Return text that cannot end an escape sequence, nor one of its fields."""
    return plain_text(text).replace(";", ",")
