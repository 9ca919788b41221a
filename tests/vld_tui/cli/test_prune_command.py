"""``vld prune`` deletes what nothing needs, and only of runs that are finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import open_home
from vld_tui.store.store import Store


def checkpoints(vld: Vld) -> dict[str, list[str]]:
    """Return the checkpoints of each run by its model."""
    return {
        vld.json("show", folder.name)["model"]: sorted(
            path.stem for path in (folder / "checkpoints").glob("*.safetensors")
        )
        for folder in (vld.home / "runs").iterdir()
    }


BEFORE = {"finish": ["best", "last"], "collapse": ["best", "last"], "fail": ["best", "last"]}


def test_the_checkpoints_to_go_on_from_are_deleted_of_finished_runs(history: Vld) -> None:
    assert checkpoints(history) == BEFORE
    asked = history("prune")
    assert asked.exit_code == 2
    assert "Delete all but the best checkpoints of 2 finished runs (6 B)?" in asked.stderr
    assert history("prune", "--dry-run").stdout == "would free 6 B of 2 finished runs\n"
    assert checkpoints(history) == BEFORE
    assert history("prune", "--yes").stdout == "freed 6 B of 2 finished runs\n"
    left = {"finish": ["best"], "collapse": ["best"], "fail": ["best", "last"]}
    assert checkpoints(history) == left
    assert history("prune").stdout.startswith("Nothing to free")
    shown = history.json("show", "first")
    assert [each["kind"] for each in shown["checkpoints"]] == ["best"]
    with Store.open(open_home(history.home)) as store:
        health = store.health()
    assert (health["checkpoints"], health["checkpoint_bytes"]) == (4, 10)
    history("rebuild")
    assert [each["kind"] for each in history.json("show", "first")["checkpoints"]] == ["best"]


def test_none_are_left_of_the_runs_that_are_named(history: Vld) -> None:
    record = history.json("prune", "first", "--keep", "none", "--yes")
    run_id = history.json("show", "first")["run"]
    assert record == {"freed_bytes": 6, "runs": [run_id], "dry_run": False, "needed": []}
    assert checkpoints(history) == BEFORE | {"finish": []}
    history("prune", "--where", "target=noto", "--keep", "none", "--yes")
    assert checkpoints(history) == {"finish": [], "collapse": [], "fail": ["best", "last"]}


def test_a_person_says_yes_or_no(history: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vld_tui.cli.errors.is_interactive", lambda: True)
    no = history("prune", typed="n\n")
    assert (no.exit_code, no.stderr) == (1, "Error: Nothing was deleted.\n")
    assert checkpoints(history) == BEFORE
    assert "freed" in history("prune", typed="y\n").stdout


def test_the_runs_of_a_study_alone(history: Vld, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(
        'name = "one"\ndata = ["emoji"]\n[fields]\nmodel = "finish"\nsteps = 100\nhead_steps = 5\n'
    )
    told = history("prune", "--study", str(tmp_path / "one.toml"), "--yes").stdout
    assert told == "freed 3 B of 1 finished run\n"
    assert checkpoints(history) == BEFORE | {"finish": ["best"]}


def test_what_is_not_finished_is_refused(history: Vld) -> None:
    failed = next(run for run in history.json("ls") if run["status"] == "failed")
    refused = history("prune", failed["run"], "--yes")
    assert refused.exit_code == 2
    assert "is failed: only finished runs can be pruned" in refused.stderr
    history("rm", "first")
    in_trash = history("prune", "first", "--yes")
    assert "is in the trash.\nDelete it with: vld " in in_trash.stderr
    both = history("prune", "first", "--where", "ood>0", "--yes")
    assert "Pass only one of" in both.stderr
    assert "--keep is 'some', but must be best or none" in history("prune", "--keep", "some").stderr
