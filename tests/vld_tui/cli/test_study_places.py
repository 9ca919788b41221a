"""Where a study goes: where it went the last time, unless a person says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.slurm_programs import Programs
from vld_tui.dashboard.actions import Actions
from vld_tui.home import Home
from vld_tui.store.store import Store
from vld_tui.study.define.grid import StudyError
from vld_tui.study.results.state import StudyReader
from vld_tui.study.standing import last_place

SETTINGS = ("--mem", "8G", "--setup", "module load cuda")
AGAIN = "slurm, as last time (mem=8G, setup=module load cuda); use --on local to run here"


@pytest.fixture
def rates(vld: Vld, programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the file of a study that was submitted, and whose runs were cancelled since."""
    monkeypatch.setattr("vld_tui.control.queue.start_supervisor", lambda *_: None)
    answers: dict[str, object] = {"sizes": {}}
    monkeypatch.setattr(
        "vld_tui.study.planner.ask_engine", lambda what, *_, **__: answers.get(what, [])
    )
    file = tmp_path / "rates.toml"
    file.write_text('name = "rates"\ndata = ["emoji"]\nseeds = 2\n[cross]\ntarget = ["noto"]\n')
    launched = vld("sweep", str(file), "--on", "slurm", *SETTINGS)
    assert launched.exit_code == 0, launched.stderr
    assert "last time" not in launched.stdout
    programs.says("squeue", "12_0|CANCELLED|None|\n12_1|CANCELLED|None|\n")
    programs.says("sbatch", "Submitted batch job 13\n")
    return file


def jobs_of(store: Store) -> list[tuple[str, str | None]]:
    return sorted((run.status, run.job) for run in store.runs.find())


def test_a_study_goes_where_it_went_last_and_says_so(vld: Vld, store: Store, rates: Path) -> None:
    assert f"where     {AGAIN}" in vld("sweep", "rates", "--dry-run").stdout.splitlines()
    record = vld.json("sweep", "rates", "--dry-run")
    settings = {"mem": "8G", "setup": ["module load cuda"]}
    assert (record["on"], record["settings"]) == ("slurm", settings)
    status = vld("sweep", "status", "rates").stdout.splitlines()[-1]
    assert status.startswith("  vld sweep rates  # resume")
    assert status.endswith(", on slurm as last time")
    told = vld("sweep", "rates").stdout.splitlines()
    assert f"on {AGAIN}" in told
    assert told[-1] == "submitted 2 runs as job 13"
    assert jobs_of(store) == [("queued", "13_0"), ("queued", "13_1")]


def test_settings_that_are_named_win_over_those_of_last_time(vld: Vld, rates: Path) -> None:
    changed = vld.json("sweep", "rates", "--dry-run", "--mem", "9G")
    assert changed["settings"] == {"mem": "9G", "setup": ["module load cuda"]}
    told = vld("sweep", "rates", "--dry-run", "--on", "slurm", "--mem", "9G").stdout.splitlines()
    assert "where     slurm, as last time except mem (mem=9G, setup=module load cuda)" in told
    vld("profile", "set", "small", "time=30")
    replaced = vld.json("sweep", "rates", "--dry-run", "--profile", "small")
    assert replaced["settings"] == {"time": "30"}
    refused = vld("sweep", "rates", "--slots", "2")
    assert refused.exit_code == 2
    assert "Drop it, or add --on local." in refused.stderr


def test_a_study_that_is_brought_home_stays_there(vld: Vld, store: Store, rates: Path) -> None:
    local = vld.json("sweep", "rates", "--on", "local")
    assert local["on"] == "local"
    assert [run.status for run in store.queue.runs()] == ["queued", "queued"]
    assert vld.json("sweep", "rates", "--dry-run")["on"] == "local"
    assert vld.json("sweep", "status", "rates")["on"] == "local"


def test_the_dashboard_submits_a_study_where_it_went_last(store: Store, rates: Path) -> None:
    said = Actions(store.home).launch_study("rates")
    assert said == "rates: 0 new runs, 2 to resume, on slurm as last time"
    assert jobs_of(store) == [("queued", "13_0"), ("queued", "13_1")]


def test_the_dashboard_knows_where_a_study_goes(vld: Vld, store: Store, rates: Path) -> None:
    assert StudyReader(store.home).open(store, "rates").is_on_cluster
    vld("sweep", "rates", "--on", "local")
    assert not StudyReader(store.home).open(store, "rates").is_on_cluster


def test_the_dashboard_says_what_a_quota_leaves_of_a_study(
    store: Store, programs: Programs, rates: Path
) -> None:
    rates.write_text(rates.read_text().replace("seeds = 2", "seeds = 5"))
    programs.complains("sbatch", "sbatch: error: QOSMaxSubmitJobPerUserLimit\n", after=1)
    said = Actions(store.home).launch_study(str(rates))
    assert said == (
        "rates: 3 new runs, 2 to resume, on slurm as last time; 2 runs not submitted: "
        "sbatch: QOSMaxSubmitJobPerUserLimit"
    )


def test_a_place_that_cannot_be_read_is_named(home: Home, rates: Path) -> None:
    path = home.studies / "rates.slurm.json"
    path.write_text('{"mem": "much"}')
    with pytest.raises(StudyError, match=r"Cannot read .*rates.slurm.json: mem is 'much'"):
        last_place(home, "rates")


def test_a_launch_that_a_cluster_refuses_is_not_remembered(
    vld: Vld, programs: Programs, rates: Path
) -> None:
    programs.complains("sbatch", "sbatch: error: Invalid qos specification\n")
    assert vld("sweep", "rates", "--qos", "long").exit_code == 2
    planned = vld("sweep", "rates", "--dry-run", "--json")
    assert planned.exit_code == 2, "a plan with a problem"
    assert "qos" not in json.loads(planned.stdout)["settings"]
