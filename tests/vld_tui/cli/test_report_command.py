"""``vld report``: tables, figures and a page of a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.filled_study import fill_study
from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import Home, open_home
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import find_text, keep_study

STUDY = """
name = "rates"
data = ["emoji"]
title = "Which rate?"
choose = ["lr"]
seeds = 2
leave_one_source_out = true

[domains]
emoji = ["fluent", "fluent-mono", "noto"]

[fields]
steps = 20

[cross]
target = "all"
dropout_rate = [0.0, 0.9]
lr = [1e-3, 5e-4]
"""


@pytest.fixture
def home(vld: Vld) -> Home:
    return open_home(vld.home)


@pytest.fixture
def study(home: Home, tmp_path: Path) -> Study:
    file = tmp_path / "rates.toml"
    file.write_text(STUDY)
    text = find_text(home, str(file))
    study = text.read(home)
    keep_study(home, study, text)
    return study


def test_a_finished_study_is_told_drawn_and_written(
    vld: Vld, home: Home, study: Study, tmp_path: Path
) -> None:
    fill_study(home, study, arms=("averaged",))
    told = vld("report", "rates")
    assert told.exit_code == 0, told.stderr
    assert "48 of 48 finished, 24 with a held-out source" in told.stdout
    for title in (
        "Accuracy by target", "Centres of the clouds", "Choice of a cell for each target",
        "Choice of the setting for each target", "Differences out of distribution",
        "ID–OOD plane", "gap: oracle − leave one source out", "Few targets: with fewer than 6",
    ):  # fmt: skip
        assert title in told.stdout
    assert "Missing runs" not in told.stdout
    folder = home.path / "reports" / "rates"
    assert str(folder / "index.html") in told.stdout
    page = (folder / "index.html").read_text()
    assert "Which rate?" in page
    assert "leave_one_source_out = true" in page
    kept = (home.studies / "rates.toml").read_text()
    assert f'folder = "{tmp_path}"' in kept
    assert str(tmp_path) not in page
    for name in ("clouds.pdf", "chain.png", "targets.png", "results.tex", "runs.csv"):
        assert (folder / name).stat().st_size > 0


def test_json_is_one_document_of_shares(vld: Vld, home: Home, study: Study, tmp_path: Path) -> None:
    fill_study(home, study, arms=())
    out = tmp_path / "elsewhere"
    told = vld.json("report", "rates", "--out", str(out))
    assert told["study"] == "rates"
    assert told["missing"] == []
    assert {Path(file).parent for file in told["files"]} == {out}
    centres = told["tables"]["centres"]
    assert [row["setting"] for row in centres] == ["λ 0", "λ 0.9"]
    assert all(0 < row["ood_accuracy"] < 1 and row["points"] == 8 for row in centres)
    choices = told["tables"]["choices"]
    assert {row["method"] for row in choices} == {
        "ID validation", "leave one source out", "oracle",
    }  # fmt: skip


def test_an_unfinished_study_is_told_with_what_is_missing(
    vld: Vld, home: Home, study: Study
) -> None:
    fill_study(home, study, specs=study.main_specs[:-3])
    told = vld("report", "rates")
    assert told.exit_code == 0, told.stderr
    assert "21 of 48 finished" in told.stdout
    assert "Missing runs" in told.stdout
    assert "Run them with: vld sweep rates" in told.stdout
    assert "leave_one_source_out = true in the study" in told.stdout
    assert "vld sweep rates" in (home.path / "reports" / "rates" / "index.html").read_text()


def test_a_study_without_a_finished_run_has_no_report(vld: Vld, home: Home, study: Study) -> None:
    refused = vld("report", study.name)
    assert refused.exit_code == 1
    assert "No run of study rates has finished yet (48 runs: 48 not started)." in refused.stderr
    assert "vld sweep rates" in refused.stderr
    assert not (home.path / "reports").exists()


def test_an_unknown_study_is_answered_with_the_nearest(vld: Vld, study: Study) -> None:
    refused = vld("report", "rate")
    assert refused.exit_code == 2
    assert "Did you mean rates?" in refused.stderr


def test_a_folder_that_cannot_be_written_is_named(
    vld: Vld, home: Home, study: Study, tmp_path: Path
) -> None:
    fill_study(home, study, specs=study.main_specs[:1], arms=())
    (tmp_path / "file").write_text("")
    refused = vld("report", "rates", "--out", str(tmp_path / "file"))
    assert refused.exit_code == 1
    assert f"Cannot write to {tmp_path / 'file'}: file exists." in refused.stderr
    assert "vld report rates --out DIR" in refused.stderr


def test_only_interpolations_are_drawn_as_such(vld: Vld, home: Home, study: Study) -> None:
    fill_study(home, study, specs=study.main_specs[:1], arms=())
    refused = vld("report", "rates", "--runs", "@last")
    assert refused.exit_code == 2
    assert "is not an interpolation: its prediction is" in refused.stderr


def test_runs_without_a_target_appear_in_no_figure(vld: Vld, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "final.toml"
    file.write_text(STUDY.replace('"all"', '["none"]'))
    study = find_text(home, str(file)).read(home)
    fill_study(home, study, specs=study.main_specs, arms=())
    told = vld("report", str(file))
    assert told.exit_code == 0, told.stderr
    assert "Figures" not in told.stdout
    assert [line.split()[0] for line in told.stdout.splitlines()[-2:]] == ["Page", "Tables"]


def test_one_run_is_enough(vld: Vld, home: Home, study: Study) -> None:
    fill_study(home, study, specs=study.main_specs[:1], arms=())
    told = vld("report", "rates", "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["tables"]["results"][0]["ood_accuracy_standard_error"] is None
