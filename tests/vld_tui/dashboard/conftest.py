"""What holds in all tests of the dashboard."""

from __future__ import annotations

import pytest

from vld_tui.dashboard.widgets.ask import Question


@pytest.fixture(autouse=True)
def questions_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the keys of a test answer a question as soon as it opened."""
    monkeypatch.setattr(Question, "grace_s", 0.0)
