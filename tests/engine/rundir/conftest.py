"""An event log of a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.rundir.event_log import EventLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog(tmp_path / "events.jsonl")
    yield log
    log.close()
