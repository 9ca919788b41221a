"""``vld suspects`` ranks the training images of a real small run, and writes an exclude list."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from engine.protocol.exclude_lists import COLUMNS
from tests.vld_tui.cli.conftest import Vld


def test_suspects_are_listed_stored_and_written(trained: Vld, tmp_path: Path) -> None:
    nothing = trained("suspects", "trained", "--show")
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "has no stored suspects. Find them with: vld suspects" in nothing.stderr
    file = tmp_path / "exclude.csv"
    first = trained("suspects", "trained", "--top", "5", "-o", str(file), "--device", "cpu")
    assert first.exit_code == 0, first.stderr
    heading, *lines = first.stdout.splitlines()
    assert heading.split()[:4] == ["image", "label", "predicted", "probability"]
    assert len(lines) == 5
    assert "of 117 training images reach" in first.stderr
    assert "5 images in" in first.stderr
    document = trained.json("suspects", "trained", "--show", "--top", "5")
    listed = document["listed"]
    assert len(listed) == 5
    assert document["images"] == 117
    scores = [each["score"] for each in listed]
    assert scores == sorted(scores, reverse=True)
    with file.open(newline="") as lines_of_file:
        rows = list(csv.DictReader(lines_of_file))
    assert [row["path"] for row in rows] == [each["path"] for each in listed]
    assert {row["action"] for row in rows} == {"exclude"}
    assert [*rows[0]][: len(COLUMNS)] == list(COLUMNS)
    assert [row["class"] for row in rows] == [each["predicted"] for each in listed]
    table = trained("suspects", "trained", "--show", "--top", "2", "--csv")
    records = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [row["path"] for row in records] == [each["path"] for each in listed[:2]]
    refused = trained("suspects", "trained", "--show", "-o", str(file))
    assert refused.exit_code == 2
    assert "exists. Use another name, or replace it with --force." in refused.stderr
    assert trained("suspects", "trained", "--show", "-o", str(file), "--force").exit_code == 0
    everything = trained.json("suspects", "trained", "--quantile", "0", "--near", "0")
    assert everything["suspects"] >= document["suspects"]
    assert len(everything["listed"]) == everything["suspects"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--json", "--csv"], "Pass only one of --json, --csv and --pictures."),
        (["--pictures"], "--pictures needs a terminal."),
        (["--force"], "--force needs -o FILE."),
        (["--quantile", "1.5"], "--quantile is 1.5, but must be from 0 to 1."),
        (["--quantile", "nan"], "--quantile is nan, but must be from 0 to 1."),
        (["--top", "0"], "--top is 0, but must be at least 1."),
        (["--near", "64"], "--near is 64, but must be from 0 to 32."),
        (["--show", "--quantile", "0.5"], "--quantile does not apply to a stored result."),
        (["--show", "--device", "cpu"], "--device does not apply to a stored result."),
        (["-o", "/nowhere/list.csv"], "There is no folder /nowhere. Create it first."),
    ],
)
def test_invalid_options_are_refused(trained: Vld, words: list[str], problem: str) -> None:
    result = trained("suspects", "trained", *words)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_damaged_file_is_reported(trained: Vld) -> None:
    [folder] = (trained.home / "runs").iterdir()
    file = folder / "diagnoses" / "suspects.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text("{damaged")
    result = trained("suspects", "trained", "--show")
    assert result.exit_code == 2
    assert "suspects.json is damaged" in result.stderr


def test_a_run_without_checkpoints_is_refused(trained: Vld) -> None:
    [folder] = (trained.home / "runs").iterdir()
    for file in (folder / "checkpoints").iterdir():
        file.unlink()
    result = trained("suspects", "trained")
    assert result.exit_code == 2
    assert "has no checkpoints: they were deleted to free disk space" in result.stderr
