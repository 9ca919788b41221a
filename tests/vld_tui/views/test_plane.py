"""Runs as points, ID accuracy across and OOD accuracy up."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from rich.segment import Segment

from vld_tui.runs.run import RunPoint
from vld_tui.views.plane import CURRENT_MARK, MOST_FRONTS, PlanePlot, fronts, pareto_front


def point(
    name: str,
    id_accuracy: float,
    ood_accuracy: float,
    rate: float = 0.9,
    target: str | None = "noto",
    dataset: str = "emoji",
) -> RunPoint:
    return RunPoint(name, name, id_accuracy, ood_accuracy, rate, None, target, "resnet18", dataset)


POINTS = [
    point("erm", 0.8, 0.5, 0.0),
    point("dropout", 0.7, 0.6),
    point("worse", 0.65, 0.45),
    point("same", 0.7, 0.55),
]


def text(points: list[RunPoint], current: str | None = None, rows: int = 20) -> list[str]:
    lines = PlanePlot(tuple(points), current).lines(60, rows)
    return ["".join(segment.text for segment in line) for line in lines]


def said(points: list[RunPoint], current: str | None = None) -> str:
    """Return the explanation below the picture."""
    return PlanePlot(tuple(points), current).explanation


def place(lines: list[str], mark: str) -> tuple[int, int]:
    """Return the row and column of the only mark in the picture."""
    ((row, column),) = [
        (row, column)
        for row, line in enumerate(lines)
        if "│" in line or "┤" in line
        for column, character in enumerate(line)
        if character == mark
    ]
    return row, column


def test_the_front_is_what_none_beats_on_both() -> None:
    assert [each.name for each in pareto_front(POINTS)] == ["dropout", "erm"]
    assert pareto_front([]) == []
    assert [each.name for each in pareto_front(POINTS, higher_is_better=False)] == ["worse"]
    twins = [point("a", 0.7, 0.6), point("b", 0.7, 0.6)]
    assert len(pareto_front(twins)) == 1


def test_a_measure_without_a_direction_has_its_unit_and_no_front() -> None:
    ranks = [
        msgspec.structs.replace(
            each, measures=(("rank_me", (60.0 + at, 480.0)), ("cka", (0.5, 0.6)))
        )
        for at, each in enumerate(POINTS)
    ]
    plane = PlanePlot(tuple(ranks), ranks[1].run_id).by_measure("rank_me")
    picture = "\n".join("".join(each.text for each in line) for line in plane.lines(100, 20))
    assert "ID RankMe 61.0 OOD RankMe 480" in picture
    assert "%" not in picture
    assert "Pareto" not in plane.explanation
    assert "Pareto" in PlanePlot(tuple(ranks), ranks[1].run_id).explanation


def test_a_measure_of_the_target_only_is_no_plane() -> None:
    of_target = [msgspec.structs.replace(POINTS[0], measures=(("target_auc", (None, 0.9)),))]
    assert PlanePlot.measures_of(of_target) == []


def test_points_of_augmented_images_are_counted() -> None:
    augmented = msgspec.structs.replace(POINTS[0], is_augmented=True)
    assert "on augmented images" not in "".join(text(POINTS))
    assert "ID of 1 point on augmented images" in said([augmented, *POINTS[1:]])
    assert "up · ID on augmented images" in said([augmented])


def test_better_on_id_is_further_right_and_better_on_ood_higher_up() -> None:
    lines = text(POINTS, current="dropout")
    assert len(lines) == 20
    dropout, erm = place(lines, CURRENT_MARK), place(lines, "●")
    assert dropout[0] < erm[0]
    assert dropout[1] < erm[1]
    assert sum(line.count("▲") for line in lines[2:]) == 2


def test_the_legend_names_rates_and_the_run_under_the_cursor() -> None:
    heading, current, *_ = text(POINTS, current="erm")
    assert heading == "ID–OOD plane  4 points  ● λ 0  ▲ λ 0.9"
    assert current == "◉ ID 80.0% OOD 50.0%  erm"
    assert "◉" not in "".join(text(POINTS, current="another"))


@pytest.mark.parametrize("cells", [40, 60, 80])
def test_the_label_at_the_right_edge_is_whole(cells: int) -> None:
    plot = PlanePlot((point("best", 0.98, 0.5), point("worst", 0.5, 0.4)))
    shown = ["".join(segment.text for segment in line) for line in plot.lines(cells, 12)]
    ticks = next(line for line in reversed(shown) if line.strip() and line.strip()[0].isdigit())
    assert len(ticks) <= cells
    assert all(label.endswith("%") for label in ticks.split())


def test_nothing_to_show_and_little_room_are_no_trouble() -> None:
    assert text([]) == ["ID–OOD plane: no evaluated runs yet"]
    assert len(text(POINTS, rows=3)) == 1
    assert len(text(POINTS, rows=4)) == 4
    assert len(text([POINTS[0]])) == 20


def test_runs_without_an_ood_accuracy_are_counted() -> None:
    def last_line(points: tuple[RunPoint, ...]) -> str:
        *_, line = PlanePlot(points, without_ood=2).lines(60, 20)
        return "".join(segment.text for segment in line).strip()

    assert last_line(()) == "ID–OOD plane: 2 runs without OOD"
    above = [*PlanePlot(tuple(POINTS), without_ood=2).lines(60, 20)][-2]
    assert above[0].text.strip().startswith("2 runs without OOD · ID across, OOD up · line")


def test_marks_stand_for_what_a_person_chose() -> None:
    points = (
        RunPoint("a", "a", 0.5, 0.4, 0.9, "dropout", "noto", "resnet18"),
        RunPoint("b", "b", 0.6, 0.5, None, None, "noto", "vit"),
    )
    assert PlanePlot(points).kinds == ["λ 0.9", "mixed"]
    assert PlanePlot(points, colouring="target").kinds == ["noto"]
    assert PlanePlot(points, colouring="model").kinds == ["resnet18", "vit"]
    assert PlanePlot(points, colouring="arm").kinds == ["dropout", "mixed"]


def test_the_point_nearest_to_a_click_and_the_next_ones_by_each_accuracy() -> None:
    plot = PlanePlot(tuple(POINTS), "dropout")
    lines = text(POINTS, current="erm")
    row, column = place(lines, CURRENT_MARK)
    found = plot.nearest(column + 1, row, 60, 20)
    assert found is not None
    assert found.name == "erm"

    assert PlanePlot().nearest(1, 1, 60, 20) is None


SIZE = {"cells": 60, "rows": 20}


def test_keys_go_to_the_nearest_point_in_their_direction() -> None:
    corners = [point(f"{x}{y}", 0.5 + x / 10, 0.5 + y / 10) for x in range(3) for y in range(3)]
    plot = PlanePlot((*corners, point("aside", 0.62, 0.7)), "11")

    def neighbour(by_ood: bool, step: int) -> str:
        found = plot.neighbour(by_ood=by_ood, step=step, **SIZE)
        assert found is not None
        return found.name

    assert neighbour(False, 1) == "21"
    assert neighbour(False, -1) == "01"
    assert neighbour(True, -1) == "10"
    assert neighbour(True, 1) == "12"
    first = PlanePlot(tuple(POINTS)).neighbour(by_ood=False, step=1, **SIZE)
    assert first is not None
    assert first.name == "worse"
    assert PlanePlot().neighbour(by_ood=True, step=1, **SIZE) is None


def test_every_point_of_one_place_is_reached() -> None:
    same = [point(name, 0.7, 0.6) for name in "cab"]
    plot = PlanePlot((*same, point("right", 0.8, 0.6)), "a")
    walked = []
    for _ in range(3):
        found = plot.neighbour(by_ood=False, step=1, **SIZE)
        assert found is not None
        walked.append(found.name)
        plot = PlanePlot(plot.points, found.run_id)
    assert walked == ["b", "c", "right"]
    back = PlanePlot(plot.points, "c").neighbour(by_ood=False, step=-1, **SIZE)
    assert back is not None
    assert back.name == "b"


def test_of_more_runs_than_points_it_is_said_which_are_drawn() -> None:
    (heading, *_) = PlanePlot(tuple(POINTS), total=2_592).lines(100, 20)
    assert heading[1].text == "  4 of 2,592 points: the newest runs"


def test_the_key_to_many_targets_takes_several_lines() -> None:
    many = tuple(point(f"{at}", 0.5 + at / 100, 0.5, target=f"target {at}") for at in range(16))
    lines = PlanePlot(many, "3", "target").lines(80, 30)
    texts = ["".join(segment.text for segment in line) for line in lines]
    key = "".join(texts[:4])
    assert all(f" target {at}" in key for at in range(16))
    assert all(len(line) <= 80 for line in texts)
    assert len(texts) == 30
    few = [
        "".join(each.text for each in line) for line in PlanePlot(many, "3", "target").lines(40, 9)
    ]
    assert "more" in "".join(few)
    assert len(few) == 9


def test_a_long_name_has_a_line_of_its_own_and_is_cut_last() -> None:
    long = point("n" * 90, 0.8, 0.5)
    line = text([*POINTS, long], current="n" * 90)[1]
    assert line.startswith("◉ ID 80.0% OOD 50.0%  nnnn")
    assert len(line) == 60


def test_the_trail_of_the_current_run_is_drawn_from_step_to_step() -> None:
    trail = (np.array([0.66, 0.78, np.nan, 0.7]), np.array([0.46, 0.48, 0.5, 0.6]))
    without = PlanePlot(tuple(POINTS), "dropout").lines(60, 20)
    with_trail = PlanePlot(tuple(POINTS), "dropout", trail=trail).lines(60, 20)

    def dots(lines: Iterable[list[Segment]]) -> int:
        texts = ("".join(segment.text for segment in line) for line in lines)
        return sum(0x2800 < ord(each) <= 0x28FF for text in texts for each in text)

    assert dots(with_trail) > dots(without) + 10


def test_a_front_joins_runs_of_one_target_and_data_set_only() -> None:
    others = [
        point("mono", 0.9, 0.2, target="mono"),
        point("elsewhere", 0.95, 0.1, dataset="pacs"),
        point("mean", 0.99, 0.99, target=None),
    ]
    found = fronts([*POINTS, *others], None)
    assert {task: [each.name for each in front] for task, front in found.items()} == {
        ("emoji", "noto"): ["dropout", "erm"],
        ("emoji", "mono"): ["mono"],
        ("pacs", "noto"): ["elsewhere"],
    }
    assert fronts([point("mean", 0.9, 0.9, target=None)], None) == {}


def test_fronts_are_named_and_the_plane_says_what_they_are() -> None:
    front = "Pareto front (no run is better on both)"
    assert said(POINTS) == f"ID across, OOD up · lines: {front}"
    crossing = [*POINTS, point("even", 0.5, 0.7)]
    assert said(crossing) == f"ID across, OOD up · lines: ID = OOD (diagonal), {front}"
    two = text([*POINTS, point("mono", 0.75, 0.2, target="mono")])
    assert "Pareto fronts of each target (no run is better on both)" in " ".join(
        line.strip() for line in two[-2:]
    )
    assert sum("noto" in line for line in two) == 1
    assert sum("mono" in line for line in two) == 1
    sets = "\n".join(text([*POINTS, point("mono", 0.75, 0.2, dataset="pacs")]))
    assert "emoji → noto" in sets
    assert "pacs → noto" in sets


def test_of_many_fronts_that_of_the_current_run_is_drawn() -> None:
    many = [
        point(f"run {at}", 0.7, 0.3 + at / 50, target=f"t{at}") for at in range(MOST_FRONTS + 1)
    ]
    assert [*fronts(many, "run 3")] == [("emoji", "t3")]
    lines = text(many, current="run 3")
    assert "Pareto front of t3 (no run is better on both)" in said(many, "run 3")
    assert not any("t2" in line for line in lines)
    assert said(many).endswith("select a run to see its Pareto front")


def test_a_name_stands_where_nothing_else_does_or_not_at_all() -> None:
    crowd = [point(f"{at}", 0.5 + at / 100, 0.5, target="a" * 30) for at in range(40)]
    lines = text([*crowd, point("b", 0.9, 0.9, target="文字")], rows=6)
    assert all(len(line) <= 60 for line in lines)
    assert any("文字" in line for line in lines)


def test_accuracies_that_lie_close_are_told_apart() -> None:
    points = tuple(
        RunPoint(str(at), str(at), 0.84 + at / 1000, 0.7 + at / 1000, 0.9) for at in range(8)
    )
    lines = ["".join(each.text for each in line) for line in PlanePlot(points).lines(100, 20)]
    up = [line.split("┤")[0].strip() for line in lines if "┤" in line]
    assert len(up) == len(set(up)) > 1
    across = lines[-2].split()
    assert len(across) == len(set(across)) > 1


@pytest.mark.parametrize("spread", [0.0008, 0.002, 0.009])
def test_labels_of_accuracies_that_lie_very_close_are_exact(spread: float) -> None:
    close = [point("a", 0.981, 0.6), point("b", 0.981 + spread, 0.6 + spread)]
    lines = text(close, rows=30)
    (ids,) = (line for line in lines if "%" in line and not line.strip(" .%0123456789"))
    oods = [line.partition("┤")[0].strip() for line in lines if "┤" in line]
    for labels in (ids.split(), oods):
        values = [float(label.rstrip("%")) for label in labels]
        steps = np.abs(np.diff(values))
        assert len(steps) >= 1
        assert np.allclose(steps, steps[0]), labels


def test_many_kinds_have_marks_of_their_own() -> None:
    many = [point(str(at), 0.5 + at / 100, 0.5, rate=at / 20) for at in range(18)]
    drawn = "".join(line for line in text(many, rows=30) if "│" in line or "┤" in line)
    assert all(drawn.count(mark) == 1 for mark in "●▲■◆✚★abcdefghijkl")
    legend = PlanePlot(tuple(many)).lines(200, 20)
    assert "  b λ 0.35  " in "".join(segment.text for segment in next(legend))
