"""The line of progress on a terminal."""

from __future__ import annotations

import os
import sys

import pytest

from vld_tui.cli.output import progress_line


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    for terminal in ("xterm-256color", "dumb"):
        monkeypatch.setenv("TERM", terminal)
        leader, follower = os.openpty()
        with open(follower, "w", encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            with progress_line() as show:
                show("drawing [b]figures")
            stream.write("end")
            stream.flush()
            text = ""
            while not text.endswith("end"):
                text += os.read(leader, 10_000).decode()
            shown.append(text)
        os.close(leader)
    assert "drawing [b]figures…" in shown[0]
    assert shown[1] == "end"


def test_nothing_is_shown_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line() as show:
        show("drawing figures")
    assert capsys.readouterr() == ("", "")
