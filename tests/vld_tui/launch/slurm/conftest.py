"""The story of a run that was given to a cluster."""

from __future__ import annotations

import pytest

from tests.vld_tui.store.told_runs import Teller
from vld_tui.home import Home
from vld_tui.runs.run import Run


@pytest.fixture
def teller(home: Home, submitted: Run) -> Teller:
    """Return who tells the story of the submitted run."""
    return Teller(home.run_dir(submitted.run_id))
