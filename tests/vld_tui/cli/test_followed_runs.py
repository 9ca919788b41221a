"""The progress of followed runs in a log: a line when it changes."""

from __future__ import annotations

import msgspec
import pytest

from engine.protocol import resolve_spec
from vld_tui.cli.foreground import RunsBar
from vld_tui.store.store import Store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, which a test sets."""
    now = [0.0]
    monkeypatch.setattr("vld_tui.cli.foreground.time.monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_when_the_progress_changes(
    store: Store, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run = store.runs.create(resolve_spec({"steps": 20}), is_queued=True)
    bar = RunsBar(2, "training on every domain")
    for clock[0] in range(0, 500, 5):
        bar.show(store, [run])
    assert capsys.readouterr().err == "starting: 0 of 2 runs finished\n"
    bar.stops(is_again=False)
    bar.show(store, [run])
    assert capsys.readouterr().err.startswith("stopping; Ctrl-C again to kill")
    for clock[0] in range(500, 1700, 5):
        bar.show(store, [run])
    assert capsys.readouterr().err.count("stopping") == 2  # a sign of life now and then


def test_runs_are_queued_behind_others_only(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run = store.runs.create(resolve_spec({"seed": 0}))
    stopped = msgspec.structs.replace(run, status="stopped")  # its process has not ended yet
    queued = store.runs.create(resolve_spec({"seed": 1}), is_queued=True)
    assert store.live.runs()
    RunsBar(2).show(store, [queued, stopped])
    assert capsys.readouterr().err.startswith("starting")
    RunsBar(2).show(store, [queued])
    assert capsys.readouterr().err.startswith("queued behind other runs")
