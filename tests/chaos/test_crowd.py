"""Twenty engines, three dashboards, five commands and two supervisors on one home."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from tests.chaos.checks import database_is_whole, events_are_whole, rebuilt_history_is_the_same
from tests.chaos.crowd import Crowd
from tests.chaos.household import Household
from vld_tui.home import open_home
from vld_tui.store.store import Store

SUPERVISOR = (sys.executable, "-m", "tests.vld_tui.launch.queue_with_stand_in")
ENGINES, DASHBOARDS, WRITERS = 20, 3, 5
PATIENCE_S = 200.0


@pytest.mark.slow
def test_a_crowd_loses_nothing(
    tmp_path: Path, small_emoji: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_PAUSE_S", "0.5")
    household = Household(open_home(tmp_path / "home"), small_emoji)
    crowd = Crowd(household, SUPERVISOR)
    specs = [
        resolve_spec({"model": "finish", "steps": 300, "eval_every": 50, "seed": seed})
        for seed in range(ENGINES)
    ]
    try:
        crowd.gather(specs, dashboards=DASHBOARDS, writers=WRITERS, patience_s=PATIENCE_S)
    finally:
        household.close()
    complaints = list(crowd.complaints)
    with Store.open(household.home) as store:
        for run in store.runs.find():
            complaints += events_are_whole(household.home, run)
    complaints += database_is_whole(household.home)
    complaints += rebuilt_history_is_the_same(household.home, tmp_path / "rebuilt")
    assert not complaints, "\n".join(complaints)
    assert crowd.most_engines == ENGINES
