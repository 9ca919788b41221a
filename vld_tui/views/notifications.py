"""Notifications that could not be sent, as text."""

from __future__ import annotations

from collections.abc import Sequence

from vld_tui.store.notifications import SendFailure
from vld_tui.words.numbers import plural


def failure_lines(failures: Sequence[SendFailure]) -> list[str]:
    """Return a line for each problem, with how to find its cause."""
    problems: dict[str, list[SendFailure]] = {}
    for each in failures:
        problems.setdefault(each.problem, []).append(each)
    lines = []
    for problem, together in problems.items():
        first = together[0]
        what = f"notification not sent ({first.event} {first.about})"
        if len(together) > 1:
            what = f"{plural(len(together), 'notification')} not sent"
        lines.append(f"{what}: {problem}. Test with: vld config test")
    return lines
