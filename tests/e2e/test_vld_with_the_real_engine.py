"""The installed ``vld`` on real images, with the real engine: a small network, seconds a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.protocol import FIELDS, RunFinished
from engine.protocol.diagnostics import DIAGNOSTICS
from engine.rundir import RunDir
from tests.small_runs import LONGER_RUN, engine_environment, read_events
from tests.waiting import wait_until

SCRIPT = Path(sys.executable).with_name("vld")
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "vld_tui.cli"]


@dataclass(frozen=True)
class InstalledVld:
    """``vld`` as it is installed, with a home of its own."""

    home: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True, text=True, check=False, timeout=240, env=self.environment,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        """Run a command that succeeds and return the one document it prints."""
        ran = self(*arguments, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """Return this environment with the home in it."""
        return engine_environment() | {"VLD_HOME": str(self.home)}

    def folder(self, run_id: str) -> RunDir:
        """Return a run's folder."""
        return RunDir(self.home / "runs" / run_id)


@pytest.fixture(scope="session")
def options(small_emoji: Path) -> list[str]:
    """Return the options of a small run on real images."""
    values = {"data_dir": str(small_emoji), **LONGER_RUN, "steps": 48}
    return [word for name, value in values.items() for word in (FIELDS[name].flag, str(value))]


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, options: list[str]
) -> tuple[InstalledVld, dict[str, Any], str]:
    """Return a home with one finished run, its record, and what it told on stderr."""
    vld = InstalledVld(tmp_path_factory.mktemp("finished"))
    ran = vld("run", *options, "--name", "whole", "--json")
    assert ran.returncode == 0, ran.stderr
    return vld, json.loads(ran.stdout), ran.stderr


@pytest.fixture
def vld(tmp_path: Path) -> InstalledVld:
    return InstalledVld(tmp_path / "home")


def curves(vld: InstalledVld, run_id: str) -> set[tuple[str, ...]]:
    """Return every measured value of a run as it stands in its event log, repeats once."""
    values: set[tuple[str, ...]] = set()
    for line in vld.folder(run_id).events.read_bytes().splitlines():
        event = json.loads(line)
        if event["type"] == "steps_taken":
            values.add((str(event["step"]), "loss", repr(event["loss"])))
        for metric in event.get("metrics", []):
            where = (metric["split"], metric["domain"], metric["name"])
            values.add((str(event["step"]), *where, repr(metric["value"])))
    return values


def test_a_run_is_told_kept_and_shown(finished: tuple[InstalledVld, dict[str, Any], str]) -> None:
    vld, record, told = finished
    assert record["status"] == "finished"
    assert (record["dataset"], record["target"]) == ("small-emoji", "fluent-mono")
    assert (record["step"], record["steps"]) == (48, 48)
    assert 0 <= record["selected_step"] <= 48
    sources = [record["domains"][name] for name in ("fluent", "noto", "twemoji")]
    assert record["id_accuracy"] == pytest.approx(sum(sources) / 3)
    assert record["ood_accuracy"] == pytest.approx(record["domains"]["fluent-mono"])
    assert "step 48/48  ID" in told

    shown = vld.json("show", "whole")
    assert shown["versions"]["torch"]
    assert {each["kind"] for each in shown["checkpoints"]} == {"best", "last"}
    for checkpoint in shown["checkpoints"]:
        assert Path(checkpoint["path"]).stat().st_size == checkpoint["bytes"]
    assert shown["data"]["classes"] == ["animal", "face", "food"]
    assert shown["network"]["model"] == "resnet10t"
    assert not psutil.pid_exists(shown["pid"])

    assert [run["run"] for run in vld.json("ls", "--where", "ood>=0 model=resnet10t")] == [
        record["run"]
    ]
    chart = vld("curve", "@last", "--height", "24").stdout
    assert f"accuracy  step {record['selected_step']}" in chart
    assert "✓ finished" in vld("show", "@last").stdout


@pytest.mark.slow
def test_stopped_killed_and_resumed_a_run_is_the_same_as_never_interrupted(
    vld: InstalledVld,
    options: list[str],
    finished: tuple[InstalledVld, dict[str, Any], str],
) -> None:
    with vld.start("run", *options, "--json") as run:
        wait_until(lambda: any(vld.home.glob("runs/*/checkpoints/last.safetensors")))
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=60)
    stopped = json.loads(out)
    assert (run.returncode, stopped["status"]) == (130, "stopped")
    assert stopped["step"] < 48
    run_id, folder = stopped["run"], vld.folder(stopped["run"])

    with vld.start("resume", run_id, "--json") as resumed:
        told_before = folder.events.stat().st_size
        wait_until(lambda: b"steps_taken" in folder.events.read_bytes()[told_before:])
        second = vld("resume", run_id)
        assert second.returncode == 2, second.stderr
        process = folder.read_process()
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        out, err = resumed.communicate(timeout=60)
    assert (resumed.returncode, json.loads(out)["status"]) == (1, "crashed")
    assert "signal 9" in err

    record = vld.json("resume", run_id)
    whole_vld, whole, _ = finished
    assert (record["status"], record["attempts"]) == ("finished", 3)
    for key in ("selected_step", "id_accuracy", "ood_accuracy", "domains", "loss"):
        assert record[key] == whole[key]
    assert curves(vld, run_id) == curves(whole_vld, whole["run"])


def test_what_cannot_be_run_is_refused_and_leaves_nothing(
    vld: InstalledVld, options: list[str]
) -> None:
    ran = vld("run", *options, "--target", "fluent-mon")
    assert ran.returncode == 2
    assert "Did you mean fluent-mono" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert vld.json("ls") == []
    assert list((vld.home / "runs").iterdir()) == []


def test_machine_and_data_are_described(vld: InstalledVld) -> None:
    health = vld.json("doctor")
    assert health["healthy"]
    assert health["machine"]["versions"]["torch"]
    assert health["database"]["integrity"] == "ok"
    assert {check["subject"] for check in health["checks"]} >= {"engine", "cpu", "disk", "database"}
    (emoji,) = [each for each in vld.json("data", "ls") if each["name"] == "emoji"]
    assert [domain["name"] for domain in emoji["domains"]] == [
        "fluent",
        "fluent-mono",
        "noto",
        "twemoji",
    ]


@pytest.mark.slow
def test_finished_runs_are_interpolated_and_averaged(tmp_path: Path, options: list[str]) -> None:
    vld = InstalledVld(tmp_path)
    small = (
        "--model", "test_resnet", "--steps", "8", "--warmup-steps", "0", "--trial-seed", "0",
    )  # fmt: skip
    runs = [
        vld.json("run", *options, *small, "--seed", str(seed), "--tag", "two") for seed in (1, 2)
    ]
    way = vld.json("combine", "interpolate", runs[0]["run"], runs[1]["run"], "--points", "3")
    assert (way["arm"], way["step"], way["steps"]) == ("interpolation", 100, 100)
    told = vld.json("show", way["run"])
    assert [each["arm"] for each in told["arms"]] == ["representations"]
    assert [each["first"] for each in told["barriers"]] == [runs[0]["run"]]
    drawn = vld("curve", way["run"], "--width", "200").stdout
    assert "% of B" in drawn
    assert "representations OOD" in drawn
    soup = vld.json("combine", "soup", "--where", "tag:two")
    assert soup["parents"] == [run["run"] for run in runs]
    assert set(soup["domains"]) == set(runs[0]["domains"])
    assert (vld.folder(soup["run"]).checkpoints / "best.safetensors").is_file()


def test_queued_runs_are_diagnosed_one_after_the_other(tmp_path: Path, options: list[str]) -> None:
    vld = InstalledVld(tmp_path / "queued")
    small = [*options, "--steps", "8", "--model", "test_resnet", "--warmup-steps", "0"]
    ids = [
        vld.json("run", *small, "--diagnose", "all", "--seed", seed, "--queue")["run"]
        for seed in ("0", "1")
    ]
    wait_until(lambda: {run["status"] for run in vld.json("ls")} == {"finished"}, timeout_s=240)
    expected = {name for name, each in DIAGNOSTICS.items() if not each.needs_runs}
    assert all(vld.folder(each).read_diagnoses().found.keys() == expected for each in ids)
    first, second = ([*read_events(vld.folder(each))] for each in ids)
    assert isinstance(first[-1], RunFinished)
    assert second[0].time >= first[-1].time, "a slot is free after the diagnostics"
    shown = vld.json("show", ids[0])
    assert shown["measures"]["ood_target_auc"] is not None
    assert not [each for each in shown["cautions"] if "iagnos" in str(each)]
