"""A short night of kills; ``make chaos`` has a long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.checks import look_at_everything
from tests.chaos.household import Household
from tests.chaos.night import Night
from vld_tui.home import open_home

KILLS = 6
PATIENCE_S = 120.0


@pytest.mark.slow
def test_whatever_is_killed_nothing_is_lost(tmp_path: Path, small_emoji: Path) -> None:
    household = Household(open_home(tmp_path / "home"), small_emoji)
    night = Night(household, random.Random(1), seeds=1)
    try:
        night.pass_by(KILLS)
        night.recover(PATIENCE_S)
    finally:
        household.close()
    found = look_at_everything(household.home, tmp_path)
    complaints = night.complaints + found.complaints
    assert not complaints, "\n".join(complaints)
    assert night.kills.total() == KILLS
    assert found.runs >= 2
    assert found.attempts > found.runs
