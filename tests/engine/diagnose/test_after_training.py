"""Diagnostics that a run computes itself: part of it, but never a reason for it to fail."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec
import pytest

from engine.diagnose import after_training
from engine.diagnose.after_training import diagnose_trained, diagnostics_after_training
from engine.protocol import (
    Cautioned,
    Evaluated,
    PhaseReported,
    RunFinished,
    RunStopped,
    SpecError,
    resolve_new_spec,
    resolve_spec,
)
from engine.protocol.diagnostics import DIAGNOSTICS, diagnostics_of
from engine.protocol.work import WorkRefused
from engine.run import run
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.phases import Phases
from engine.stop_request import StopRequest
from tests.small_runs import MakeRun, make_outliers, read_events, run_here

ALL: Final = {name for name, each in DIAGNOSTICS.items() if not each.needs_runs}
END: Final = RunFinished(
    step=24, selected_step=8, id_accuracy=0.5, ood_accuracy=0.5, wall_s=1.0, peak_memory_bytes=1
)


class StopWhileDiagnosing(StopRequest):
    """Asks for a stop as soon as the run reports that it computes diagnostics."""

    def __init__(self, run_dir: RunDir) -> None:
        super().__init__()
        self._run_dir = run_dir

    @property
    def requested(self) -> bool:
        """Return whether they are being computed."""
        if '"diagnosing"' in self._run_dir.events.read_text():
            self.ask("SIGTERM")
        return bool(self.reason)


def test_a_run_that_keeps_no_checkpoint_is_stopped_resumed_and_diagnosed(
    make_run: MakeRun, tmp_path: Path
) -> None:
    outliers = str(make_outliers(tmp_path / "outliers"))
    run_dir = make_run(diagnose=["all"], keep_checkpoints="none", outliers=outliers)
    log = EventLog(run_dir.events)
    stopped = run(run_dir, log, StopWhileDiagnosing(run_dir))
    log.record(stopped)
    log.close()
    assert isinstance(stopped, RunStopped)
    assert (stopped.step, stopped.reason) == (24, "SIGTERM")
    run_here(run_dir)
    assert run_dir.read_diagnoses().found.keys() == ALL
    assert {"detection", "distances", "rank"} < ALL
    assert ALL.isdisjoint({"robustness", "connectivity"})
    assert run_dir.read_diagnoses().found["detection"].values["auroc_abstain"][1] is not None
    assert not [*run_dir.checkpoints.iterdir()]
    assert not run_dir.abstention.exists()
    events = read_events(run_dir)
    assert [type(each) for each in events if isinstance(each, RunStopped | RunFinished)] == [
        RunStopped, RunFinished,
    ]  # fmt: skip
    phases = [each for each in events if isinstance(each, PhaseReported)]
    assert phases[-1].phase == "diagnosing"
    assert phases[-1].detail == "computing diagnostics"
    end = events[-1]
    assert isinstance(end, RunFinished)
    assert {each.step for each in run_dir.read_diagnoses().found.values()} == {end.selected_step}
    assert sum(isinstance(each, Evaluated) for each in events) == 4  # none is repeated
    assert not [
        each for each in events if isinstance(each, Cautioned) and "diagnos" in each.message
    ]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed"),
        ("raise SystemExit(7)", "their process ended with exit code 7"),
        ("print('what?')", "their process ended with exit code 0"),
        (f"print({msgspec.json.encode(WorkRefused('No images.')).decode()!r})", "No images."),
    ],
)
def test_whatever_fails_is_a_caution(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    run_dir = make_run(diagnose=["rich"])
    monkeypatch.setattr(after_training, "COMMAND", (sys.executable, "-c", script))
    assert _diagnose(run_dir) == END
    begun, caution = read_events(run_dir)
    assert isinstance(begun, PhaseReported)
    assert (begun.phase, begun.total) == ("diagnosing", None), "before the process reports anything"
    assert isinstance(caution, Cautioned)
    assert why in caution.message
    assert caution.message.endswith(f"To compute them: vld rich {run_dir.run_id}")


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_stop_that_ends_both_processes_is_a_stop(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    run_dir = make_run(diagnose=["rich"])  # a cluster signals every process of a job
    script = f"import os; os.kill(os.getpid(), {int(number)})"
    monkeypatch.setattr(after_training, "COMMAND", (sys.executable, "-c", script))
    stop = StopRequest()
    late = threading.Timer(after_training.SIGNAL_S / 2, stop.ask, [number.name])
    monkeypatch.setattr(after_training, "_wait", lambda _process: late.start())
    log = EventLog(run_dir.events)
    ended = diagnose_trained(run_dir.read_spec(), END, run_dir, Phases(log), stop)
    log.close()
    assert isinstance(ended, RunStopped)
    assert (ended.step, ended.reason) == (END.step, number.name)
    assert not [each for each in read_events(run_dir) if isinstance(each, Cautioned)]


def test_a_process_that_cannot_start_is_a_caution(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(diagnose=["all"])
    monkeypatch.setattr(after_training, "COMMAND", ("/none/python",))
    assert _diagnose(run_dir) == END
    begun, caution = read_events(run_dir)
    assert isinstance(begun, PhaseReported)
    assert (begun.phase, begun.total) == ("diagnosing", None), "before the process reports anything"
    assert isinstance(caution, Cautioned)
    assert "could not start" in caution.message
    assert f"vld rich {run_dir.run_id} or vld shift {run_dir.run_id}" in caution.message


def _diagnose(run_dir: RunDir) -> RunFinished | RunStopped:
    log = EventLog(run_dir.events)
    try:
        return diagnose_trained(run_dir.read_spec(), END, run_dir, Phases(log), StopRequest())
    finally:
        log.close()


@pytest.mark.parametrize(
    ("diagnose", "target", "topics"),
    [
        ([], "noto", ""),
        (["all"], "noto", "rich shift"),
        (["shift"], "noto", "shift"),
        (["shift", "rich"], "noto", "rich shift"),
        (["all"], "none", "rich"),
    ],
)
def test_topics_become_diagnostics(diagnose: list[str], target: str, topics: str) -> None:
    spec = resolve_spec({"dataset": "emoji", "target": target, "diagnose": diagnose})
    expected = [each.name for topic in ("rich", "shift") if topic in topics.split()
                for each in diagnostics_of(topic) if not each.needs_runs]  # fmt: skip
    assert [*diagnostics_after_training(spec)] == expected


def test_a_shift_without_a_target_is_refused() -> None:
    with pytest.raises(SpecError, match="no shift to measure. Give --diagnose rich"):
        resolve_new_spec({"dataset": "emoji", "target": "none", "diagnose": ["shift"]})
