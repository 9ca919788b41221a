"""``--exclude``: lists of images on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.datasets.image_folders import fill_folder
from tests.vld_tui.cli.conftest import Vld


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder next to ``list.csv`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("path\nphoto/cat/0.png\n")
    return fill_folder(tmp_path / "pets", dict.fromkeys(("photo", "toy"), ("cat", "dog")), 10)


def test_a_run_on_a_folder_tells_what_its_list_leaves_out(vld: Vld, images: Path) -> None:
    given = ("run", "--data", "pets", "--target", "toy", "--dry-run", "--exclude")
    plan = vld(*given, "list.csv")
    assert (plan.exit_code, "1 image that --exclude lists (photo/cat/0.png)" in plan.stdout) == (
        0, True,
    )  # fmt: skip
    spec = json.loads(vld(*given, "list.csv", "--json").stdout)
    assert spec["exclude"] == str(images.parent / "list.csv")
    (images.parent / "list.csv").write_text("photo/cat/77.png\n")
    refused = vld(*given, "list.csv")
    assert (refused.exit_code, "lists photo/cat/77.png, which is not" in refused.stdout) == (
        2,
        True,
    )


def test_every_description_of_a_data_set_reports_its_list(vld: Vld, images: Path) -> None:
    listed = images.parent / "list.csv"
    listed.write_text("path,action,class\nphoto/cat/0.png,exclude,\ntoy/cat/1.png,relabel,dog\n")
    added = vld("data", "add", "animals", "pets", "--exclude", "list.csv")
    said = (
        "left out: 1 image that --exclude lists (photo/cat/0.png), 1 label that --exclude corrects "
        "(toy/cat/1.png: cat → dog)"
    )
    for shown in (added, vld("data", "ls", "animals"), vld("data", "check", "animals")):
        assert said in shown.stdout
    summary = "! animals: an exclude list leaves out 1 image and corrects 1 label"
    assert summary in vld("data", "ls").stdout.splitlines()


def test_a_check_with_a_list(vld: Vld, images: Path) -> None:
    report = json.loads(vld("data", "check", "pets", "--exclude", "list.csv", "--json").stdout)
    assert report["counts"]["photo"]["cat"] == 9
    assert report["left_out"] == [
        {"kind": "images that --exclude lists", "count": 1, "example": "photo/cat/0.png"}
    ]
    empty = vld("data", "check", "pets", "--exclude", "")
    assert (empty.exit_code, "--exclude is empty" in empty.stderr) == (2, True)
