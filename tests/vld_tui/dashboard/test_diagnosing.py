"""Diagnostics are computed in the background by a key, with progress, and can be cancelled."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from engine.protocol import UserError, resolve_spec
from engine.protocol.diagnostics import TOPICS, Topic, diagnostics_of
from engine.protocol.work import WorkNote, WorkProgress
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.pick import Pick
from vld_tui.dashboard.use.diagnosing import DiagnosingProgress
from vld_tui.dashboard.use.work import CancelledError, ShownProgress, Work
from vld_tui.dashboard.widgets.ask import Confirm
from vld_tui.home import open_home
from vld_tui.store.store import Store
from vld_tui.words.text import width

ENGINE = """
import json, sys, time
request = json.loads(sys.argv[1])
def say(**report): print(json.dumps(report), flush=True)
say(type="progress", what="diagnosing runs", done=0, total=len(request["runs"]), unit="runs")
if request["runs"][0]["diagnostics"] == ["silent"]:
    time.sleep(60)
problems = {each["diagnostics"][0]: "too few images" for each in request["runs"]}
answer = [dict(computed=each["diagnostics"][1:], problems=problems) for each in request["runs"]]
say(type="done", answer=answer)
"""


class SlowActions(FakeActions):
    """Reports progress, then computes until it is allowed to end or cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()

    def diagnose(self, run_ids: Sequence[str], topics: Sequence[Topic], work: Work) -> str:
        """Report progress and wait."""
        self.done.append(("diagnose", *run_ids, *topics))
        work.report(WorkProgress("features of the run's network", 3, 9, "images"))
        while not self.may_end.wait(0.02):
            if work.is_cancelled:
                raise CancelledError("Cancelled.")
        return "7 diagnostics computed"


def _shown(app: Dashboard) -> str:
    return "\n".join(screen_lines(app))


def _said(app: Dashboard) -> list[str]:
    return [each.message for each in app._notifications]


def test_a_key_computes_them_while_the_dashboard_is_used() -> None:
    actions = SlowActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("D")
        await settle(pilot)
        assert "Diagnose " in "\n".join(screen_lines(app))
        await pilot.press("enter")
        await settle_until(pilot, lambda: "3/9 images" in "\n".join(screen_lines(app)))
        await pilot.press("enter")
        await settle(pilot)
        assert "· diagnosing run 0" in screen_lines(app)[-2]
        actions.may_end.set()
        await settle_until(pilot, lambda: "7 diagnostics computed" in _said(app))
        await settle(pilot)
        assert "3/9 images" not in "\n".join(screen_lines(app))

    source = FakeSource([make_run(0)])
    play(source, scenario, actions=actions)
    assert ("diagnose", source.runs[0].run_id, *TOPICS) in actions.done


def test_the_tab_shows_that_they_are_computed() -> None:
    actions = SlowActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter", "9")
        await settle_until(pilot, lambda: "Not computed yet. To compute: D" in _shown(app))
        assert "Computing: " not in _shown(app)
        await pilot.press("D")
        await settle_until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press(*"shift", "enter")
        await settle_until(pilot, lambda: "Computing: ██████" in _shown(app))
        assert "features of the run's network: 3/9 images" in _shown(app)
        assert "Being computed: Source or target?, Effective robustness" in _shown(app)
        await pilot.press("R")
        await settle_until(pilot, lambda: "Not computed yet. To compute: D" in _shown(app))
        assert "Computing: " not in _shown(app), "another topic"
        await pilot.press("9")
        await settle_until(pilot, lambda: "Computing: " in _shown(app))
        actions.may_end.set()
        await settle_until(pilot, lambda: "To compute: D" in _shown(app))
        assert "Computing: " not in _shown(app)

    play(FakeSource([make_run(0)]), scenario, actions=actions)


@pytest.mark.parametrize("cells", [40, 78, 118, 198])
def test_the_line_of_progress_fits(cells: int) -> None:
    report = WorkProgress("features of the pre-trained network", 1_024, 12_592, "images")
    doing = DiagnosingProgress(
        ("r",), "emoji-fluent-mono-0.9-seed-3", TOPICS, ShownProgress(report, 1_024, 60.0)
    )
    line = doing.line(cells)
    assert width(line) <= cells
    assert ("features of the pre-trained network: 1,024/12,592 images" in line) == (cells > 40)
    assert ("11m 18s left" in line) == (cells > 40)
    assert line.endswith("shift)") == (cells > 80)
    assert ("17.1 images/s" in line) == ("█" in line) == (cells > 118)


def test_the_same_key_cancels_them() -> None:
    actions = SlowActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space", "D")
        await settle(pilot)
        assert "Diagnose 2 marked runs:" in "\n".join(screen_lines(app))
        await pilot.press(*"rich", "enter")
        await settle_until(pilot, lambda: "3/9 images" in "\n".join(screen_lines(app)))
        await pilot.press("D")
        await settle_until(pilot, lambda: isinstance(app.screen, Confirm))
        await settle(pilot)
        assert "Cancel diagnosing 2 marked runs (rich)?" in "\n".join(screen_lines(app))
        await pilot.press("y")
        await settle_until(pilot, lambda: "Cancelled." in _said(app))

    source = FakeSource([make_run(0), make_run(1)])
    play(source, scenario, actions=actions)
    [asked] = [each for each in actions.done if each[0] == "diagnose"]
    assert {*asked[1:-1]} == {run.run_id for run in source.runs}


def test_a_run_without_a_target_has_no_shift() -> None:
    run = make_run(0, spec=resolve_spec({"dataset": "emoji", "target": "none"}))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("D")
        await settle_until(pilot, lambda: isinstance(app.screen, Pick))
        await settle(pilot)
        shown = "\n".join(screen_lines(app))
        assert "how rich the representation is" in shown
        assert "how far the target is" not in shown

    play(FakeSource([run]), scenario, actions=SlowActions())


@pytest.fixture
def actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Actions:
    command = (sys.executable, "-c", ENGINE)
    monkeypatch.setattr("vld_tui.control.diagnose.DIAGNOSE_COMMAND", command)
    return Actions(open_home(tmp_path / "home"))


@pytest.fixture
def run_id(tmp_path: Path, actions: Actions) -> str:
    assert actions
    with Store.open(open_home(tmp_path / "home")) as store:
        return store.runs.create(resolve_spec({}), name="run").run_id


def test_what_was_computed_and_what_was_not_is_said(actions: Actions, run_id: str) -> None:
    progress: list[str] = []
    work = Work(lambda made: progress.append(made.text()))
    work.report(WorkNote("the cache is full"))
    said = actions.diagnose([run_id], ["rich"], work).splitlines()
    names = [each.name for each in diagnostics_of("rich")]
    assert said[0] == f"run: {len(names) - 1} diagnostics computed"
    assert said[1] == f"{run_id}: Effective rank: too few images"
    assert said[2:] == ["the cache is full"]
    assert "diagnosing runs: 0/1 runs" in progress[0]


def test_a_cancelled_process_is_ended(
    actions: Actions, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = msgspec.structs.replace(diagnostics_of("rich")[0], name="silent")
    monkeypatch.setattr("vld_tui.dashboard.use.engine.diagnostics_of", lambda _topic: [silent])
    monkeypatch.setattr("vld_tui.control.diagnose.DIAGNOSTICS", {"silent": silent})
    work = Work(lambda _text: work.cancel())
    with pytest.raises(CancelledError, match="finished are stored"):
        actions.diagnose([run_id], ["rich"], work)
    with pytest.raises(UserError):
        actions.diagnose(["none"], ["rich"], Work())
