"""What a terminal is told when a run ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vld_tui.dashboard.notices import notice_for, terminal_name


def test_nothing_is_told_unless_asked_for() -> None:
    assert notice_for("mine", "finished", "off") == ""
    assert notice_for("mine", "finished", "bell") == "\a"


def test_a_terminal_of_unknown_name_is_told_both_ways() -> None:
    assert notice_for("mine", "failed", "desktop", terminal="xterm-256color") == (
        "\x1b]9;vld-tui: mine: failed\a\x1b]777;notify;vld-tui;mine: failed\a"
    )


@pytest.mark.parametrize("terminal", ["xterm-ghostty ghostty", "foot", "rxvt-unicode", "x WezTerm"])
def test_a_terminal_that_knows_both_shows_one(terminal: str) -> None:
    told = notice_for("mine", "crashed", "desktop", terminal=terminal)
    assert told == "\x1b]777;notify;vld-tui;mine: crashed\a"


@given(st.text())
def test_no_name_steers_the_terminal(name: str) -> None:
    first, second, rest = notice_for(name, "finished", "desktop").split("\a")
    assert rest == ""
    assert first.startswith("\x1b]9;vld-tui: ")  # never a number: OSC 9;4 is a progress bar
    assert second.startswith("\x1b]777;notify;vld-tui;")
    for told, fields in ((first, 2), (second, 4)):
        assert all(sign >= " " and not "\x7f" <= sign <= "\x9f" for sign in told[1:])
        assert told.count(";") == fields - 1


def test_a_long_name_is_cut() -> None:
    assert len(notice_for("n" * 5000, "finished", "desktop")) < 300


def test_the_terminal_is_named_by_the_environment_also_over_ssh() -> None:
    assert terminal_name({"TERM": "xterm", "LC_TERMINAL": "iTerm2"}).split() == ["xterm", "iTerm2"]
