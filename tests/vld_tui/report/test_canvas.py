"""Axes show the marks, whatever the length of the bars."""

from __future__ import annotations

import pytest

from vld_tui.report.canvas import fitting


@pytest.mark.parametrize(
    ("accuracies", "ends"),
    [
        ([50.0, 60.0], (44.0, 66.0)),
        ([50.0], (49.0, 51.0)),
        ([0.2, 99.9], (0.0, 100.0)),
        ([70.0, 70.1], (69.0, 71.1)),
    ],
)
def test_an_axis_shows_marks_with_room_around_them(
    accuracies: list[float], ends: tuple[float, float]
) -> None:
    assert fitting(accuracies) == pytest.approx(ends)
