"""``vld compare``: where runs differ and what came of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.vld_tui.cli.conftest import Vld


@pytest.fixture
def history(vld: Vld, history_template: Path) -> Vld:
    shutil.copytree(history_template, vld.home, dirs_exist_ok=True)
    return vld


def test_named_runs_stand_side_by_side(history: Vld) -> None:
    shown = history("compare", "first", "@last")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split()[0] == "first"
    assert {line.split()[0] for line in lines[1:5]} >= {"model", "dropout", "seed"} - {"seed"}
    assert any(line.startswith("OOD − ID") for line in lines)


def test_runs_that_match_are_compared_and_told_as_one_document(history: Vld) -> None:
    told = history.json("compare", "--where", "steps=100")
    assert len(told["groups"]) == 3
    assert {"model", "dropout_rate", "target"} <= set(told["differs"])
    first = next(group for group in told["groups"] if group["label"] == "first")
    assert first["ood_accuracy"]["n"] == 1
    assert first["ood_accuracy"]["interval"] is None
    assert told["groups"][-1]["seeds"] == [3]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name the runs to compare, or select them with --where"),
        (("first", "--where", "steps=100"), "Name the runs to compare, or select"),
        (("first", "first"), "Comparing needs at least two runs, but only one given."),
        (("--where", "seed=99"), "Comparing needs at least two runs, but none matches 'seed=99'."),
        (("first", "nobody"), "nobody"),
        (("--where", "sed=1"), "No field 'sed'"),
    ],
)
def test_what_cannot_be_compared_is_said(history: Vld, words: tuple[str, ...], said: str) -> None:
    refused = history("compare", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr
