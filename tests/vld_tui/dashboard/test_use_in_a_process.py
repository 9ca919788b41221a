"""What the dashboard does with a trained run, in a process that stands in for the engine."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from engine.protocol import UserError, resolve_spec
from engine.protocol.work import WorkProgress
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.use.orders import PredictOrder
from vld_tui.dashboard.use.results import Predicted
from vld_tui.dashboard.use.work import CancelledError, ShownProgress, Work
from vld_tui.home import open_home
from vld_tui.store.store import Store

ENGINE = """
import json, sys, time
request = json.loads(sys.argv[1])
def say(**report): print(json.dumps(report), flush=True)
(path,) = request["paths"]
if path.endswith("refused"):
    say(type="refused", message="No images found.")
    sys.exit(2)
if path.endswith("silent"):
    time.sleep(60)
say(type="note", text="not calibrated")
say(type="progress", what="predicting", done=1, total=2, unit="images")
row = dict(path=path, classes=["cat", "dog"], probabilities=[0.6, 0.4], margin=0.2)
say(type="rows", rows=[row])
if path.endswith("slow"):
    time.sleep(60)
say(type="done", answer=dict(images=1, unreadable=0, classes=["cat", "dog"], arm="erm",
    temperature=1.0, threshold=None, calibration=None, device="cpu"))
"""


@pytest.fixture
def actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Actions:
    monkeypatch.setattr("vld_tui.control.predict.INFERENCE_COMMAND", (sys.executable, "-c", ENGINE))
    return Actions(open_home(tmp_path / "home"))


@pytest.fixture
def run_id(tmp_path: Path, actions: Actions) -> str:
    assert actions
    with Store.open(open_home(tmp_path / "home")) as store:
        return store.runs.create(resolve_spec({})).run_id


def test_images_are_classified_and_copied_into_class_folders(
    actions: Actions, run_id: str, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(b"pixels")
    said: list[str] = []
    into = str(tmp_path / "sorted")
    order = PredictOrder(paths=(str(tmp_path / "photo.png"),), into=into)
    made = actions.use(run_id, order, Work(lambda made: said.append(made.text())))
    assert isinstance(made, Predicted)
    assert [(each.class_name, each.margin) for each in made.predictions] == [("cat", 0.2)]
    assert "predicting: 1/2 images" in said[0]
    assert made.remarks == [f"1 copied into {into}", "not calibrated"]
    assert (tmp_path / "sorted/cat/photo.png").read_bytes() == b"pixels"


def test_a_refusal_is_the_engine_s_sentence(actions: Actions, run_id: str) -> None:
    with pytest.raises(UserError, match="No images found."):
        actions.use(run_id, PredictOrder(paths=("/refused",)), Work())


def test_what_was_predicted_before_it_was_cancelled_is_kept(actions: Actions, run_id: str) -> None:
    work = Work(lambda _text: threading.Timer(0.2, work.cancel).start())
    made = actions.use(run_id, PredictOrder(paths=("/slow",)), work)
    assert isinstance(made, Predicted)
    assert len(made.predictions) == 1
    assert made.remarks[0] == "cancelled: the other images are missing"


def test_a_process_that_reports_nothing_yet_is_ended(actions: Actions, run_id: str) -> None:
    work = Work()
    threading.Timer(0.3, work.cancel).start()
    with pytest.raises(CancelledError):
        actions.use(run_id, PredictOrder(paths=("/silent",)), work)


def test_progress_has_a_rate_and_the_time_left() -> None:
    progress = WorkProgress("predicting", 300, 1000, "images")
    assert ShownProgress(progress, 200, 10.0).text() == (
        "██████                predicting: 300/1,000 images · 20.0 images/s · 35s left"
    )
    assert ShownProgress(WorkProgress("reading", 3, None, "files"), 0, 0.0).text() == (
        "reading: 3 files"
    )
