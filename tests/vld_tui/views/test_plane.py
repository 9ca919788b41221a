"""Runs as points, ID accuracy across and OOD accuracy up."""

from __future__ import annotations

from vld_tui.store.runs import RunPoint
from vld_tui.views.plane import CURRENT_MARK, pareto_front, plane_lines


def point(name: str, id_accuracy: float, ood_accuracy: float, rate: float = 0.9) -> RunPoint:
    return RunPoint(name, name, id_accuracy, ood_accuracy, rate)


POINTS = [
    point("erm", 0.8, 0.5, 0.0),
    point("dropout", 0.7, 0.6),
    point("worse", 0.65, 0.45),
    point("same", 0.7, 0.55),
]


def text(points: list[RunPoint], current: str | None = None, rows: int = 20) -> list[str]:
    lines = plane_lines(points, current=current, cells=60, rows=rows)
    return ["".join(segment.text for segment in line) for line in lines]


def place(lines: list[str], mark: str) -> tuple[int, int]:
    """Return the row and column of the only mark below the legend."""
    ((row, column),) = [
        (row, column)
        for row, line in enumerate(lines[1:], start=1)
        for column, character in enumerate(line)
        if character == mark
    ]
    return row, column


def test_the_front_is_what_none_beats_on_both() -> None:
    assert [each.name for each in pareto_front(POINTS)] == ["dropout", "erm"]
    assert pareto_front([]) == []
    twins = [point("a", 0.7, 0.6), point("b", 0.7, 0.6)]
    assert len(pareto_front(twins)) == 1


def test_better_on_id_is_further_right_and_better_on_ood_higher_up() -> None:
    lines = text(POINTS, current="dropout")
    assert len(lines) == 20
    dropout, erm = place(lines, CURRENT_MARK), place(lines, "●")
    assert dropout[0] < erm[0]
    assert dropout[1] < erm[1]
    assert sum(line.count("▲") for line in lines[1:]) == 2


def test_the_legend_names_rates_and_the_run_under_the_cursor() -> None:
    assert text(POINTS, current="erm")[0].startswith(
        "ID–OOD plane  4 runs  ● λ 0  ▲ λ 0.9  ◉ ID 80"
    )
    assert "◉" not in "".join(text(POINTS, current="another"))


def test_nothing_to_show_and_little_room_are_no_trouble() -> None:
    assert text([]) == ["ID–OOD plane: no run was evaluated yet"]
    assert len(text(POINTS, rows=3)) == 1
    assert len(text(POINTS, rows=4)) == 4
    assert len(text([POINTS[0]])) == 20
