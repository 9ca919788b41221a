"""The keys that move over a heat map and over the plane of runs."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from textual.app import App, ComposeResult
from textual.widget import Widget

from vld_tui.dashboard.draw.heat_map import HeatCell, HeatMap
from vld_tui.dashboard.widgets.heat_map import HeatMapView
from vld_tui.dashboard.widgets.plane import Plane
from vld_tui.runs.run import RunPoint

POINTS = [
    RunPoint(name, name, id_accuracy, ood_accuracy, 0.9)
    for name, id_accuracy, ood_accuracy in (("a", 0.6, 0.7), ("b", 0.7, 0.5), ("c", 0.8, 0.6))
]
CELLS = tuple(tuple(HeatCell(f"{row}{column}") for column in "xyz") for row in "ab")


class OnePicture(App[None]):
    """A picture that has the keyboard."""

    def __init__(self, picture: Widget) -> None:
        super().__init__()
        self._picture = picture

    def compose(self) -> ComposeResult:
        yield self._picture

    def on_mount(self) -> None:
        self._picture.focus()


def press(picture: Widget, *keys: str) -> None:
    app = OnePicture(picture)

    async def play() -> None:
        async with app.run_test(size=(100, 20)) as pilot:
            await pilot.press(*keys)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("keys", "cursor"),
    [
        ("right right down", (1, 2)),
        ("l l j", (1, 2)),
        ("right right right left", (0, 1)),
        ("down down up", (0, 0)),
        ("end", (1, 2)),
        ("G h k", (0, 1)),
        ("end home", (0, 0)),
    ],
)
def test_keys_move_over_the_cells_of_a_heat_map(keys: str, cursor: tuple[int, int]) -> None:
    view = HeatMapView()
    view.show(HeatMap("OOD", "", ("a", "b"), ("x", "y", "z"), CELLS))
    press(view, *keys.split())
    assert view.cursor == cursor


@pytest.mark.parametrize(
    ("keys", "run"),
    [
        ("right", "c"),  # the next higher ID accuracy
        ("left", "a"),
        ("up", "c"),  # the next higher OOD accuracy
        ("up up", "a"),
        ("up down", "b"),
        ("l h h h", "a"),
        ("k j j", "b"),
    ],
)
def test_keys_choose_the_next_run_by_id_or_by_ood_accuracy(keys: str, run: str) -> None:
    plane = Plane()
    plane.set_points(POINTS, "b")
    press(plane, *keys.split())
    assert plane.plot.current == run


def test_a_key_places_points_by_a_measure_of_theirs_and_by_accuracy_again() -> None:
    measured = (("calibration_error", (0.2, 0.1)),)
    points = [msgspec.structs.replace(point, measures=measured) for point in POINTS[:2]]
    plane = placed_by(points, "m")
    assert [(each.id_accuracy, each.ood_accuracy) for each in plane.plot.points] == [(0.2, 0.1)] * 2
    assert "calibration error (lower is better)" in plane.plot.explanation
    assert placed_by(points, "m", "m").plot.points == (*points, *POINTS[2:])


def placed_by(points: list[RunPoint], *keys: str) -> Plane:
    """Return the plane of these points and the last, after keys."""
    plane = Plane()
    plane.set_points([*points, *POINTS[2:]], "b")
    press(plane, *keys)
    return plane
