"""Notifications of the terminal when a run ends, as the user chose them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play
from vld_tui.config import BellKind
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import Interest, Snapshot
from vld_tui.dashboard.notices import notice_for, terminal_name
from vld_tui.dashboard.preferences import Preferences
from vld_tui.store.notifications import SendFailure


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


@pytest.mark.parametrize("kind", ["off", "bell", "desktop"])
def test_runs_that_end_are_told(kind: BellKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    written: list[str] = []
    monkeypatch.setattr(HeadlessDriver, "write", lambda _, data: written.append(data))
    ended = (make_run(1), make_run(2, status="failed"))

    class EndingSource(FakeSource):
        """Says that two runs ended, once."""

        def take(self, interest: Interest) -> Snapshot:
            snapshot = super().take(interest)
            return replace(snapshot, ended=ended if len(self.asked) == 2 else ())

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        app._wake.set()
        await pilot.pause(0.2)

    play(EndingSource([make_run(0)]), scenario, preferences=Preferences(notice=kind))
    told = "".join(data for data in written if "\a" in data and not data.startswith("\x1b]22;"))
    expected = [notice_for(run.name, run.status, kind) for run in ended]
    assert told == ("\a" if kind == "bell" else "".join(expected))


def test_notifications_that_could_not_be_sent_are_shown() -> None:
    unsent = SendFailure("failed", "250101-000000-aaaa", "webhook: HTTP [404]", 1.0)

    class FailingSource(FakeSource):
        """Reports a failure, once."""

        def take(self, interest: Interest) -> Snapshot:
            snapshot = super().take(interest)
            return replace(snapshot, unsent=(unsent,) if len(self.asked) == 2 else ())

    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        app._wake.set()
        await pilot.pause(0.2)
        shown.extend(each.message for each in app._notifications)

    play(FailingSource([make_run(0)]), scenario)
    told = "notification not sent (failed 250101-000000-aaaa): webhook: HTTP [404]."
    assert [text for text in shown if told in text] == [f"{told} Test with: vld config test"]
