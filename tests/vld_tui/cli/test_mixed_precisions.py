"""Runs of one study that were computed in different precisions are told of."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import (
    Teller,
    data_prepared,
    evaluated,
    finished,
    model_prepared,
    started,
)
from vld_tui.home import open_home
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study

STUDY = """
name = "rates"
data = ["emoji"]
seeds = 2
[fields]
steps = 20
target = "fluent-mono"
[cross]
dropout_rate = [0.0, 0.9]
"""
BOTH = STUDY + 'precision = ["fp32", "bf16"]\n'
NEW_BF16, NEW_FP32, OLD_BF16 = ("bf16", "fp32"), ("fp32", "fp32"), ("bf16", None)


def tell(vld: Vld, file: Path, text: str, *precisions: tuple[str, str | None]) -> None:
    """Fill a study with runs trained and evaluated in these precisions, in turn."""
    file.write_text(text)
    home = open_home(vld.home)
    study = find_study(home, str(file))
    with Store.open(home) as store:
        for at, spec in enumerate(study.specs):
            trained, measured = precisions[at % len(precisions)]
            model = msgspec.structs.replace(
                model_prepared(), precision=trained, evaluation_precision=measured
            )
            run = store.runs.create(spec, tags=(study.name,))
            teller = Teller(store.runs.run_dir(run.run_id))
            teller.says(started(), data_prepared(), model)
            teller.says(*evaluated(10, id_accuracy=0.8, ood_accuracy=0.5))
            teller.says(finished(20, selected_step=10, id_accuracy=0.8, ood_accuracy=0.5))
        store.live.refresh()


def cautions(vld: Vld, file: Path) -> list[str]:
    found = vld.json("sweep", "status", str(file))["cautions"]
    assert isinstance(found, list)
    return found


def test_status_and_report_name_the_counts_and_how_to_avoid_it(vld: Vld, tmp_path: Path) -> None:
    file, out = tmp_path / "rates.toml", tmp_path / "out"
    tell(vld, file, STUDY, NEW_FP32, NEW_BF16, NEW_FP32, NEW_FP32)
    (caution,) = cautions(vld, file)
    assert caution == (
        "the precision of training differs between runs: 3 runs in fp32, 1 run in bf16 (auto "
        "chooses the fastest on each machine). This alone may change their results. To "
        'avoid this: precision = "fp32" below [fields] of the study (--precision fp32 of vld run).'
    )
    assert f"caution   {caution}" in vld("sweep", "status", str(file)).stdout
    told = vld("report", str(file), "--json", "--out", str(out))
    record = json.loads(told.stdout)
    assert (record["cautions"], record["facts"]["caution"]) == ([caution], caution)
    assert record["facts"]["precision"] == "fp32 (3 runs), bf16, evaluated in fp32 (1 run)"
    page = (out / "index.html").read_text()
    assert page.index("the precision of training differs") < page.index("<dt>study</dt>")
    on_screen = " ".join(vld("report", str(file), "--out", str(out)).stdout.split())
    assert "the precision of training differs between runs: 3 runs in fp32" in on_screen


def test_runs_that_were_evaluated_as_they_trained_are_told_from_new_ones(
    vld: Vld, tmp_path: Path
) -> None:
    file = tmp_path / "rates.toml"
    tell(vld, file, STUDY, NEW_FP32, OLD_BF16)
    training, evaluation = cautions(vld, file)
    assert training.startswith("the precision of training differs")
    where = "tag:rates evaluation_precision:bf16"
    assert evaluation == (
        "the precision of evaluations differs between runs: 2 runs in fp32, 2 runs in bf16. New "
        f"runs are evaluated in fp32. Trash the others (vld ls --where '{where}'), then vld sweep "
        "rates runs them again."
    )
    listed = vld.json("ls", "--where", where)
    assert {(run["precision"], run["evaluation_precision"]) for run in listed} == {("bf16", "bf16")}
    assert len(listed) == 2
    assert vld("rebuild").exit_code == 0
    assert cautions(vld, file) == [training, evaluation]
    record = vld.json("report", str(file), "--out", str(tmp_path / "out"))
    assert record["cautions"] == [training, evaluation], "none is lost among several"


def test_nothing_is_said_where_it_is_the_same_or_compared(vld: Vld, tmp_path: Path) -> None:
    file = tmp_path / "rates.toml"
    tell(vld, file, STUDY, NEW_BF16)
    assert cautions(vld, file) == []
    both = tmp_path / "both.toml"
    tell(vld, both, BOTH.replace("rates", "both"), NEW_FP32, NEW_BF16)
    assert cautions(vld, both) == []
