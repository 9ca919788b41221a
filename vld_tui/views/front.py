"""Pareto fronts of the ID–OOD plane: the runs that none beats on both, for each task.

Accuracies on different images are not comparable, so each data set and target has its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.style import Style

from vld_tui.runs.run import RunPoint
from vld_tui.views.plot import Cell
from vld_tui.words.text import plain_text, shorten, width

Task = tuple[str, str]
"""A data set and the domain left out of training."""
Place = tuple[int, int]
"""A row and a column of the picture."""

MOST_FRONTS: Final = 6
"""Maximum number of fronts to draw; of more, only that of the current run is drawn."""
LABEL_CELLS: Final = 20
LABEL_STYLE: Final = Style(dim=True, italic=True)


def fronts(
    points: Iterable[RunPoint], current: str | None, *, higher_is_better: bool = True
) -> dict[Task, list[RunPoint]]:
    """Return the front of each task, or only that of the current run if there are many.

    Means over several tasks belong to none.
    """
    of_task: dict[Task, list[RunPoint]] = {}
    chosen: Task | None = None
    for point in points:
        if point.dataset is not None and point.target is not None:
            task = (point.dataset, point.target)
            of_task.setdefault(task, []).append(point)
            chosen = task if point.run_id == current else chosen
    if len(of_task) > MOST_FRONTS:
        of_task = {task: each for task, each in of_task.items() if task == chosen}
    return {
        task: pareto_front(each, higher_is_better=higher_is_better)
        for task, each in of_task.items()
    }


def pareto_front(points: Sequence[RunPoint], *, higher_is_better: bool = True) -> list[RunPoint]:
    """Return the points that no other beats on both accuracies, by increasing ID accuracy."""
    sign = 1 if higher_is_better else -1
    front: list[RunPoint] = []
    best = -math.inf
    for point in sorted(points, key=lambda p: (-sign * p.id_accuracy, -sign * p.ood_accuracy)):
        if sign * point.ood_accuracy > best:
            best = sign * point.ood_accuracy
            front.append(point)
    return front[::-sign]


def task_names(points: Iterable[RunPoint]) -> dict[Task, str]:
    """Return the names of fronts, with their data sets if there are several."""
    tasks = {(p.dataset, p.target) for p in points if p.dataset is not None and p.target}
    is_one = len({dataset for dataset, _ in tasks}) == 1
    return {
        (dataset, target): plain_text(target if is_one else f"{dataset} → {target}")
        for dataset, target in tasks
    }


def write_label(canvas: list[list[Cell]], front: Sequence[Place], name: str) -> None:
    """Write a front's name next to one of its points, in free cells."""
    text = shorten(name, LABEL_CELLS)
    cells = width(text)
    for row, start in _free_places(canvas, front, cells + 2):
        canvas[row][start + 1] = (text, LABEL_STYLE)
        for column in range(start + 2, start + 1 + cells):
            canvas[row][column] = ("", LABEL_STYLE)
        return


def _free_places(canvas: list[list[Cell]], front: Sequence[Place], cells: int) -> Iterator[Place]:
    """Yield free cells next to the points of a front; those in its own rows come first."""
    for down in (0, -1, 1):
        for row, column in front:
            for start in (column + 1, column - cells):
                if (
                    0 <= row + down < len(canvas)
                    and 0 <= start <= len(canvas[0]) - cells
                    and all(text == " " for text, _ in canvas[row + down][start : start + cells])
                ):
                    yield row + down, start
