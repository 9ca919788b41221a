"""Notifications when a run ends: a bell, or a desktop notification."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, get_args

from vld_tui.config import BellKind
from vld_tui.words.text import plain_text, shorten

NOTICES: Final[tuple[BellKind, ...]] = get_args(BellKind)

TITLE: Final = "vld-tui"
BELL: Final = "\a"
NAME_CELLS: Final = 80
SHOWS_TITLES: Final = ("contour", "foot", "ghostty", "kitty", "konsole", "rxvt", "wezterm")
"""Terminals that support OSC 777, which has a title; most of them support OSC 9 as well."""


def notice_for(run_name: str, status: str, kind: BellKind, *, terminal: str = "") -> str:
    """Return the escape sequence that reports a run's end; empty for no notification.

    A desktop notification is sent as OSC 9 (iTerm2) and OSC 777 (rxvt), since a terminal ignores
    the one it does not support; a terminal known to support the second gets only that.
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
    """Return the known names of the terminal, even over SSH."""
    return " ".join(environment.get(name, "") for name in ("TERM", "TERM_PROGRAM", "LC_TERMINAL"))


def _harmless(text: str) -> str:
    """Return text that cannot end an escape sequence or one of its fields."""
    return plain_text(text).replace(";", ",")
