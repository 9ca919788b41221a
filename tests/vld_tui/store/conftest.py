"""A run in history."""

from __future__ import annotations

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


@pytest.fixture
def run(store: Store) -> Run:
    return store.runs.create(resolve_spec({"steps": 20}), name="first", tags=("best", "new"))


@pytest.fixture
def teller(home: Home, run: Run) -> Teller:
    """Return who tells the story of ``run``."""
    return Teller(home.run_dir(run.run_id))
