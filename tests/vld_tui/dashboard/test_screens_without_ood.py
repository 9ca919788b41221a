"""Runs that left no domain out, on every screen that shows accuracies, from a real history."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import play, screen_lines, settle
from tests.vld_tui.store.told_runs import (
    Teller,
    arm_evaluated,
    data_prepared,
    evaluation,
    finished,
    model_prepared,
    steps_taken,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import HistorySource
from vld_tui.home import Home
from vld_tui.store.store import Store

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36)])


def tell(home: Home, **fields: object) -> None:
    """Tell of a run that was evaluated twice, the first time better."""
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({"steps": 20, **fields}))
    target = None if run.spec.target == "none" else run.spec.target
    ood = None if target is None else 0.4
    teller = Teller(home.run_dir(run.run_id))
    teller.starts()
    teller.says(
        data_prepared(target),
        model_prepared(),
        steps_taken(10, 1.5),
        evaluation(10, id_accuracy=0.8, ood_accuracy=ood),
        arm_evaluated(10, "averaged", id_accuracy=0.6, ood_accuracy=ood),
        steps_taken(20, 1.2),
        evaluation(20, id_accuracy=0.7, ood_accuracy=ood, is_best=False),
        finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=ood),
    )


def on_screen(app: Dashboard) -> str:
    return "\n".join(screen_lines(app))


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


@SIZES
def test_the_list_and_the_plane_have_no_number(home: Home, size: tuple[int, int]) -> None:
    tell(home, target="noto")
    tell(home, target="none")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await settle(pilot)
        (line,) = (line for line in screen_lines(app) if "objects-drawn-d0.9" in line)
        assert "80.0%" in line
        assert "–" in line.partition("80.0%")[2]
        assert "40.0%" not in line
        assert "accuracy  last  80.0% ID" in on_screen(app) or "70.0% ID" in on_screen(app)
        await press(pilot, "2")
        assert "ID–OOD plane  1 point" in on_screen(app)
        assert "1 run without OOD · ID across, OOD up" in on_screen(app)
        await press(pilot, "down", "up")

    play(HistorySource(home), scenario, size=size)


@SIZES
def test_alone_it_leaves_the_plane_empty_with_the_reason(home: Home, size: tuple[int, int]) -> None:
    tell(home, target="none")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await press(pilot, "2")
        assert "ID–OOD plane: 1 run without OOD" in on_screen(app)

    play(HistorySource(home), scenario, size=size)


@SIZES
def test_every_tab_of_the_run_screen_shows_it(home: Home, size: tuple[int, int]) -> None:
    tell(home, target="none", arms=["averaged"])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await press(pilot, "enter")
        assert "ID 80.0% · OOD –" in on_screen(app)
        assert "ID averaged" in on_screen(app)
        for key, said in {"2": "OOD –", "3": "target", "7": "OOD –"}.items():
            await press(pilot, key)
            assert said in on_screen(app)

    play(HistorySource(home), scenario, size=size)
