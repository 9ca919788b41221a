"""``vld compare``: where runs differ and what came of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.made_predictions import predictions_with
from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import Home
from vld_tui.store.store import Store


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


def test_mistakes_of_two_runs_are_counted_image_by_image(history: Vld) -> None:
    with Store.open(Home(history.home)) as store:
        runs = [store.runs.get(name) for name in ("first", "@last")]
        for run, wrong in zip(runs, ({0, 1}, {1, 2, 3}), strict=True):
            store.runs.run_dir(run.run_id).write_predictions(predictions_with(wrong))
    shown = history("compare", "first", "@last", "--flips")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert "10 images of sketch (target, both splits)" in lines[0]
    assert "A wrong, B right: 1 · A right, B wrong: 2 · both wrong: 1 · both right: 6" in lines[1]
    assert "exact McNemar test: p = 1.000" in lines[2]
    assert lines[5].split() == ["all", "10", "2", "3", "1", "2", "1", "−10.0"]
    told = history.json("compare", "first", "@last", "--flips")
    assert told["runs"] == [run.run_id for run in runs]
    assert told["total"]["only_second_wrong"] == 2
    assert told["images"][0]["predicted"] == ["dog", "cat"]
    of_photo = history.json("compare", "first", "@last", "--flips", "--domain", "photo")
    assert of_photo["total"]["images"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("first", "--flips"), "--flips needs exactly two runs, not 1."),
        (("first", "@last", "--domain", "photo"), "--domain needs --flips."),
        (("first", "first", "--flips"), "Name two different runs"),
        (("first", "@last", "--flips"), "has no predictions yet"),
    ],
)
def test_mistakes_that_cannot_be_compared_are_said(
    history: Vld, words: tuple[str, ...], said: str
) -> None:
    refused = history("compare", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr
