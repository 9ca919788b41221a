"""Evaluations are stored with their run: the same replaces, another adds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.protocol.work import WorkDone
from engine.rundir import RunDir, UserData
from tests.made_evaluations import make_evaluation
from vld_tui.control.evaluate import (
    EvaluationError,
    KeptEvaluation,
    class_map_of,
    evaluate,
    find_evaluation,
    remove_evaluation,
)
from vld_tui.home import Home


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "runs" / "run-1")
    made.create(resolve_spec({"dataset": "emoji", "target": "noto"}), UserData())
    return made


def _keep(run_dir: RunDir, *, domains: tuple[str, ...] = (), **fields: Any) -> KeptEvaluation:
    """Evaluate with an engine that has this answer."""
    answer = make_evaluation(
        name="", **{"where": "/data/my photos", "dataset": "my photos"} | fields
    )
    report = WorkDone(msgspec.Raw(msgspec.json.encode(answer)))
    said = msgspec.json.encode(report).decode()
    command = (sys.executable, "-S", "-c", f"print({said!r})")
    home = Home(run_dir.path.parents[1])
    data = home.path / "photos"
    data.mkdir(exist_ok=True)
    return evaluate(home, run_dir, str(data), domains=domains, command=command)


def test_the_same_data_and_network_replace(run_dir: RunDir) -> None:
    first = _keep(run_dir)
    assert first.path == run_dir.evaluations / "my-photos.json"
    assert not first.replaced
    again = _keep(run_dir, temperature=3.0)
    assert again.replaced
    [stored] = run_dir.read_evaluations().found
    assert stored == again.evaluation
    assert stored.temperature == 3.0


def test_other_data_and_other_networks_add(run_dir: RunDir) -> None:
    names = [
        _keep(run_dir).evaluation.name,
        _keep(run_dir, where="/elsewhere").evaluation.name,
        _keep(run_dir, arm="averaged").evaluation.name,
        _keep(run_dir, checkpoint="trained longer").evaluation.name,
        _keep(run_dir, accuracies={"a": 0.5}, domains=("a",)).evaluation.name,
        _keep(run_dir, class_map={"Dog": "dog"}).evaluation.name,
        _keep(run_dir, where="/third", dataset="../..").evaluation.name,
    ]
    assert names == [
        "my-photos", "my-photos-2", "my-photos-averaged", "my-photos-3", "my-photos-a",
        "my-photos-4", "evaluation",
    ]  # fmt: skip
    assert len(run_dir.read_evaluations().found) == len(names)


def test_a_damaged_file_is_not_overwritten(run_dir: RunDir) -> None:
    run_dir.evaluations.mkdir()
    (run_dir.evaluations / "my-photos.json").write_bytes(b"{")
    assert _keep(run_dir).evaluation.name == "my-photos-2"
    with pytest.raises(EvaluationError, match=r"my-photos\.json is damaged"):
        find_evaluation(run_dir, "my-photos")
    remove_evaluation(run_dir, "my-photos")
    assert not (run_dir.evaluations / "my-photos.json").exists()


def test_a_result_that_cannot_be_stored_is_not_lost(run_dir: RunDir) -> None:
    run_dir.evaluations.write_bytes(b"")
    found = _keep(run_dir)
    assert found.path is None
    assert "was not stored" in found.problem
    assert found.evaluation.overall.accuracy.value == 0.8


def test_evaluations_are_found_and_removed_by_name(run_dir: RunDir) -> None:
    with pytest.raises(EvaluationError, match="has no evaluation 'photo'. It has none."):
        find_evaluation(run_dir, "photo")
    _keep(run_dir)
    with pytest.raises(EvaluationError, match="Did you mean my-photos"):
        remove_evaluation(run_dir, "my-photo")
    assert find_evaluation(run_dir, "my-photos").name == "my-photos"
    remove_evaluation(run_dir, "my-photos")
    assert run_dir.read_evaluations().found == ()


def test_a_map_of_classes() -> None:
    assert class_map_of(["Dog=dog", "wolf=", "a=b=c", "Dog=dog"]) == {
        "Dog": "dog", "wolf": "", "a": "b=c",
    }  # fmt: skip
    with pytest.raises(EvaluationError, match="must be OLD=NEW"):
        class_map_of(["Dog"])
    with pytest.raises(EvaluationError, match="maps 'Dog' twice"):
        class_map_of(["Dog=dog", "Dog=cat"])
