"""Accuracy in and out of the sources' support, of every arm of a real run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.data import load_data
from engine.diagnose.arm_predictions import read_arms_on_target
from engine.diagnose.diagnose_run import diagnose_run
from engine.evaluate import evaluate_domains, network_predictor
from engine.execution import Execution
from engine.inference.classifier import load_classifier
from engine.protocol import NETWORK_ARMS, ArmEvaluated, resolve_spec
from engine.protocol.diagnostics import Diagnosed, DiagnoseRun
from engine.rundir import RunDir, UserData
from tests.small_runs import SMALL_RUN, MakeRun, read_events, run_here

ARMS = ("averaged", "swad", "ensemble", "refined")
SETTINGS = {"arms": ARMS, "average_from": 1, "swad_tolerance": 1, "refine_steps": 3}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> RunDir:
    made = RunDir(tmp_path_factory.mktemp("home") / "home" / "runs" / "run")
    spec = resolve_spec({"data_dir": str(small_emoji), **SMALL_RUN, **SETTINGS})
    made.create(spec, UserData())
    run_here(made)
    return made


def _selected(run_dir: RunDir) -> dict[str, ArmEvaluated]:
    events = [each for each in read_events(run_dir) if isinstance(each, ArmEvaluated)]
    return {each.arm: each for each in events if each.is_best}


def _diagnose(run_dir: RunDir) -> Diagnosed:
    request = DiagnoseRun(
        run_dir=str(run_dir.path), diagnostics=("probe",), device="cpu", threads=1
    )
    return diagnose_run(request, lambda _report: None)


def test_each_arm_has_a_row_whose_counts_are_its_accuracy(run_dir: RunDir) -> None:
    [probe] = _diagnose(run_dir).diagnoses
    table = probe.tables["support"]
    rows: dict[str, dict[str, Any]]
    rows = {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert [*rows] == ["dropout", *ARMS]
    selected = _selected(run_dir)
    for arm in ARMS:
        row, event = rows[arm], selected[arm]
        assert row["step"] == event.step
        images = row["n in"] + row["n out"]
        correct = row["correct in"] + row["correct out"]
        assert event.ood_accuracy == pytest.approx(correct / images)
        for part in ("in", "out"):
            if row[f"n {part}"]:
                assert row[f"accuracy {part}"] == row[f"correct {part}"] / row[f"n {part}"]
                assert row[f"low {part}"] <= row[f"accuracy {part}"] <= row[f"high {part}"]
    assert {row["n in"] for row in rows.values()} == {rows["dropout"]["n in"]}
    assert dict(probe.arms) == {arm: event.step for arm, event in selected.items()}


def test_predictions_are_those_of_the_network_of_the_arm(run_dir: RunDir) -> None:
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    assert data.target is not None
    stored = {each.arm: each for each in read_arms_on_target(run_dir, spec, data.target).found}
    execution = Execution(torch.device("cpu"), "fp32", "contiguous")
    for arm in NETWORK_ARMS:
        [network] = load_classifier(run_dir, arm=arm).networks
        measured = evaluate_domains(network_predictor(network, 8, execution), data, arm).measured
        [found] = [each for each in measured if each.domain.is_target and each.split == "in"]
        assert found.result.guesses is not None
        expected = found.result.guesses.predicted == found.result.guesses.labels
        assert torch.equal(stored[arm].is_right, expected)
        assert not np.array_equal(found.indices, np.sort(found.indices)), "order matters"


def test_arms_without_stored_predictions_are_named(run_dir: RunDir) -> None:
    path = run_dir.predictions_of("swad")
    content = path.read_bytes()
    [before] = _diagnose(run_dir).diagnoses
    try:
        path.unlink()
        done = _diagnose(run_dir)
        assert done.computed == ("probe",), "the table has one row less"
        [found] = done.diagnoses
        path.write_bytes(b"{")
        damaged = _diagnose(run_dir).diagnoses[0]
    finally:
        path.write_bytes(content)
    assert [row[0] for row in found.tables["support"].rows] == [
        "dropout",
        "averaged",
        "ensemble",
        "refined",
    ]
    assert any(
        "Arm swad is left out: its predictions are not stored" in each for each in found.notes
    )
    assert damaged.tables == found.tables
    [again] = _diagnose(run_dir).diagnoses
    assert again.tables == before.tables


def test_a_run_without_a_target_has_no_arms_on_it(make_run: MakeRun) -> None:
    run_dir = make_run(target="none", arms=["ensemble"], average_from=1)
    assert read_arms_on_target(run_dir, run_dir.read_spec(), None).found == ()
