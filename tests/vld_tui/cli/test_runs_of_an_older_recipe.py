"""A study whose recipe means something else than when its runs were made does not lose them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.protocol import RECIPES
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started
from tests.vld_tui.study.known_datasets import ask_once
from vld_tui.home import open_home
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study

STUDY = """\
name = "rates"
seeds = 2
[cross]
dropout_rate = [0.0, 0.9]
[fields]
recipe = "paper"
dataset = "emoji"
target = "noto"
"""
BEFORE = {
    "trial_seed": None,
    "precision": "auto",
    "lr_drops": [5_000],
    "average_from": 300,
    "eval_from": None,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rates.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(autouse=True)
def _finished_before(vld: Vld, file: Path) -> Iterator[None]:
    """Finish the study's runs as its recipe was before."""
    home = open_home(vld.home)
    with pytest.MonkeyPatch.context() as patch, Store.open(home) as store:
        patch.setitem(RECIPES, "paper", {**RECIPES["paper"], **BEFORE})
        for spec in find_study(home, str(file)).specs:
            run = store.runs.create(spec, tags=("rates",))
            teller = Teller(store.runs.run_dir(run.run_id))
            teller.says(started(), *evaluated(10, id_accuracy=0.8, ood_accuracy=0.5))
            teller.says(finished(10_001, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
        store.live.refresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vld_tui.study.planner.ask_engine", _answer)
        patch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)
        yield


def _answer(subject: str, *_: object, **__: object) -> object:
    return {} if subject == "sizes" else []


CAUTION = (
    "4 finished runs have the tag rates but are not in the study: its recipe has changed since. "
    "To count them, set below [fields]: "
)
VALUES = """\
trial_seed = "none"
lr_drops = [5000]
average_from = 300
eval_from = "none"
precision = "auto"
"""
CAUTION += VALUES.strip().replace("\n", ", ")


def test_they_are_told_of_with_the_values_that_count_them(vld: Vld, file: Path) -> None:
    (caution,) = vld.json("sweep", "status", str(file))["cautions"]
    assert caution == CAUTION
    assert f"caution   {caution}" in vld("sweep", "status", str(file)).stdout.splitlines()
    assert vld.json("sweep", str(file), "--dry-run")["cautions"] == [caution]
    assert caution in vld("sweep", str(file), "--dry-run").stdout
    nothing = vld("report", str(file))
    assert nothing.exit_code == 1
    assert caution in nothing.stderr


def test_with_those_values_they_count(vld: Vld, file: Path) -> None:
    file.write_text(STUDY + VALUES)
    record = vld.json("sweep", "status", str(file))
    assert (record["finished"], record["missing"], record["cautions"]) == (4, 0, [])


def test_a_study_may_be_called_as_a_word_of_the_query_language(vld: Vld, file: Path) -> None:
    file.write_text(STUDY.replace('"rates"', '"or"'))
    assert vld.json("sweep", "status", str(file))["cautions"] == [], "none has that tag"


def test_runs_that_the_study_itself_left_out_are_not_told_of(vld: Vld, file: Path) -> None:
    file.write_text(STUDY.replace("[0.0, 0.9]", "[0.5, 0.9]"))
    (caution,) = vld.json("sweep", "status", str(file))["cautions"]
    assert caution.startswith("2 finished runs have the tag rates but are not in the study")
    file.write_text(STUDY.replace("[0.0, 0.9]", "[0.5]"))
    assert vld.json("sweep", "status", str(file))["cautions"] == []
