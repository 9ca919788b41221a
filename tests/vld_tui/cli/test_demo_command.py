"""``vld demo``: a study in the foreground, resumed, stopped, failed and read."""

from __future__ import annotations

import json
import shutil
import signal
from typing import Any, NamedTuple

import pytest

from benchmarks.filled_study import fill_study
from tests.vld_tui.cli.conftest import Vld, WorkedOn
from tests.vld_tui.launch.queue_stand_in import start_stand_in
from tests.vld_tui.study.known_datasets import ask_once
from vld_tui.home import open_home
from vld_tui.launch.local import LaunchError
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import find_study

RUNS = 30


@pytest.fixture(autouse=True)
def _asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine describe the embedded images but once."""
    monkeypatch.setattr("vld_tui.study.define.datasets.work_on_datasets", ask_once)


@pytest.fixture
def study(vld: Vld) -> Study:
    return find_study(open_home(vld.home), "demo")


def fill(vld: Vld, study: Study, runs: int = RUNS) -> None:
    """Write the first runs of the study as finished."""
    home = open_home(vld.home)
    fill_study(home, study, specs=study.specs[:runs], arms=(), has_measures=True)


class Blocks(NamedTuple):
    """What is printed: the tables by their first words, and the rest."""

    changes: list[str]
    text: str


def blocks(printed: str) -> Blocks:
    lines = printed.splitlines()
    start = next(at for at, line in enumerate(lines) if "OOD change with" in line)
    return Blocks(lines[start : start + 5], " ".join(lines))


def test_a_finished_demo_is_shown_at_once_with_what_its_intervals_say(
    vld: Vld, study: Study
) -> None:
    fill(vld, study)
    told = vld("demo")
    assert told.exit_code == 0, told.stderr
    assert told.stderr == ""
    found = blocks(told.stdout)
    assert found.changes[0] == (
        "objects-drawn: OOD change with λ 0.9 instead of λ 0, points (95% interval)"
    )
    assert found.changes[1].split() == ["target", "accuracy", "balanced", "accuracy"]
    assert [line.split()[0] for line in found.changes[2:]] == ["clipart", "emoji", "lineart"]
    assert "objects-drawn: ID/OOD accuracy by target" in found.text
    assert "objects-drawn: ID/OOD balanced accuracy by target" in found.text
    assert "With λ 0.9 instead of λ 0, OOD accuracy is " in found.text
    assert "95% intervals over 5 seeds, not adjusted for several comparisons" in found.text
    for command in ("vld-tui", "vld report demo", "vld run --data DIR --target DOMAIN"):
        assert f"  {command}  #" in told.stdout
    assert "queue" not in (path.name for path in vld.home.iterdir())


def test_its_json_has_the_results_the_changes_and_the_sentence(vld: Vld, study: Study) -> None:
    fill(vld, study)
    record: dict[str, Any] = vld.json("demo")
    assert (record["study"], record["finished"]) == ("demo", RUNS)
    assert {each["target"] for each in record["results"]} == {"clipart", "emoji", "lineart"}
    measures = [each["measure"] for each in record["changes"]]
    assert measures == ["ood_accuracy"] * 3 + ["ood_balanced_accuracy"] * 3
    first = record["changes"][0]
    assert (first["setting"], first["baseline"]) == ({"dropout_rate": 0.9}, {"dropout_rate": 0.0})
    low, high = first["interval"]
    assert low < first["change"] < high
    assert first["verdict"] in ("better", "worse", "unclear")
    assert record["reading"].startswith("With λ 0.9 instead of λ 0, OOD accuracy is ")


def test_only_what_is_missing_is_run(vld: Vld, study: Study, worked_on: WorkedOn) -> None:
    fill(vld, study, RUNS - 1)
    slots = worked_on(start_stand_in)
    told = vld("demo", "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["finished"] == RUNS
    assert "29 of 30 runs finished" in told.stderr
    assert len(vld.json("ls", "--where", "tag:demo", "--limit", "0")) == RUNS
    assert slots[0] is not None
    assert slots[0] >= 1
    assert vld.json("queue", "ls")["slots"] == [None], "only for this time"


def test_the_first_failure_stops_the_others(vld: Vld, study: Study, worked_on: WorkedOn) -> None:
    def refuse(*_: object) -> Any:
        raise LaunchError("no weights for tf_efficientnet_lite0")

    fill(vld, study, RUNS - 20)
    worked_on(refuse)
    told = vld("demo")
    assert told.exit_code == 1
    assert "of the demo failed: " in told.stderr
    assert "no weights for tf_efficientnet_lite0" in told.stderr
    assert "run the others with: vld demo" in told.stderr
    assert vld.json("ls", "--where", "status:queued") == []


def test_an_interrupt_dequeues_what_is_left_and_says_how_to_go_on(
    vld: Vld, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(vld, study, 12)
    monkeypatch.setattr(
        "vld_tui.control.queue.start_supervisor", lambda *_: signal.raise_signal(signal.SIGINT)
    )
    told = vld("demo")
    assert told.exit_code == 130, told.stderr
    assert told.stderr.endswith("Stopped: 12 of 30 runs finished. Run the others with: vld demo\n")
    assert vld.json("ls", "--where", "status:queued") == []


def test_another_study_of_that_name_is_left_alone(vld: Vld) -> None:
    own = 'name = "demo"\ntitle = "mine"\n[cross]\ntarget = ["noto"]\n'
    file = open_home(vld.home).studies / "demo.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(own)
    told = vld("demo")
    assert told.exit_code == 2
    assert "is another study named demo" in told.stderr
    assert "--home DIR" in told.stderr
    assert file.read_text() == own


def test_a_disk_that_is_too_full_is_named_before_anything_is_queued(
    vld: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(vld.home)._replace(free=2**20)
    monkeypatch.setattr("vld_tui.cli.demo.shutil.disk_usage", lambda _path: usage)
    told = vld("demo")
    assert told.exit_code == 1
    assert "1.0 MiB of free disk space; the demo needs 256.0 MiB" in told.stderr
    assert vld.json("ls") == []
