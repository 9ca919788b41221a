"""``vld evaluate`` tests the network of a real small run on other images, and keeps the result."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from engine.datasets.catalog import EMOJI_ARCHIVE
from engine.datasets.folders import open_image_set
from tests.small_runs import SMALL_CLASSES
from tests.vld_tui.cli.conftest import Vld

TARGET, SOURCE = "fluent-mono", "noto"


@pytest.fixture
def photos(small_emoji: Path, tmp_path: Path) -> Path:
    """Return a folder of the target's images by class, one class named otherwise."""
    folder = tmp_path / "photos"
    shutil.copytree(small_emoji / TARGET, folder)
    (folder / "face").rename(folder / "Face")
    return folder


def test_an_evaluation_is_printed_kept_replaced_and_removed(trained: Vld, photos: Path) -> None:
    refused = trained("evaluate", "trained", str(photos))
    assert refused.exit_code == 2
    assert "classes of photos: Face, animal, food" in refused.stderr
    assert "Did you mean: --map Face=face" in refused.stderr
    words = ("evaluate", "trained", str(photos), "--map", "Face=face")
    first = trained(*words)
    assert first.exit_code == 0, first.stderr
    assert "48 images, 1 domain, 3 of 3 classes" in first.stdout
    assert "Face → face" in first.stdout
    assert "Not a test" not in first.stdout
    assert "48 images of the run's own data, from its target" in first.stdout
    assert "stored: " in first.stdout
    again = trained(*words)
    assert "replaced: " in again.stdout
    [stored] = trained.json("evaluate", "trained", "--ls")
    assert (stored["name"], stored["step"], stored["temperature"] is None) == (
        "photos", stored["step"], False,
    )  # fmt: skip
    shown = trained("show", "trained").stdout
    assert "Evaluations on other data" in shown
    assert "evaluations/photos.json" in shown
    [in_show] = trained.json("show", "trained")["evaluations"]
    assert in_show == stored
    assert trained("evaluate", "trained", "--show", "photos").stdout.startswith("photos\n")
    assert trained("evaluate", "trained", "--rm", "photos").exit_code == 0
    assert trained.json("evaluate", "trained", "--ls") == []


def test_own_images_and_unreadable_ones_are_reported(
    trained: Vld, small_emoji: Path, tmp_path: Path
) -> None:
    data = tmp_path / "mixed"
    for name in (TARGET, SOURCE):
        shutil.copytree(small_emoji / name, data / name)
    (data / SOURCE / "food" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = trained("evaluate", "trained", str(data), "--no-calibration")
    assert result.exit_code == 1
    assert "39 that the run was trained on and 9 that selected its step" in " ".join(
        result.stdout.split()
    )
    assert "cannot read noto/food/torn.png: " in result.stderr
    assert "1 image cannot be read" in result.stdout
    assert "mean" in result.stdout
    assert "not a test" in trained("show", "trained").stdout
    table = trained("evaluate", "trained", "--ls", "--csv")
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    domains = [row["domain"] for row in rows if not row["class"]]
    assert domains == [TARGET, SOURCE, "mean", "all images"]
    [stored] = trained.json("evaluate", "trained", "--ls")
    assert float(rows[0]["accuracy"]) == pytest.approx(stored["domains"][0]["accuracy"])
    assert stored["is_test"] is False


def test_data_is_named_like_that_of_runs(trained: Vld) -> None:
    others = set(open_image_set("emoji", EMOJI_ARCHIVE).classes) - set(SMALL_CLASSES)
    left_out = [word for name in sorted(others) for word in ("--map", f"{name}=")]
    made = trained.json("evaluate", "trained", "emoji", "--domain", "noto", *left_out)
    assert made["dataset"] == "emoji"
    assert set(made["left_out"]) == others


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "Pass exactly one of: the data to evaluate on, --ls, --show NAME, --rm NAME."),
        (["emoji", "--ls"], "Pass exactly one of"),
        (["emoji", "--json", "--csv"], "--json and --csv exclude each other"),
        (["emoji", "--map", "Dog"], "must be OLD=NEW"),
        (["emojj"], "Did you mean emoji?"),
        (["/nowhere/photos"], "no folder or file /nowhere/photos"),
        (["emoji", "--at", "first"], "--at is 'first', but must be best or last."),
        (["emoji", "--arm", "averaged"], "has no arm averaged"),
        (["--rm", "photos"], "has no evaluation 'photos'. It has none."),
    ],
)
def test_what_cannot_be_done_is_refused(trained: Vld, words: list[str], problem: str) -> None:
    result = trained("evaluate", "trained", *words)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_run_without_evaluations_has_no_section(trained: Vld) -> None:
    assert "Evaluations on other data" not in trained("show", "trained").stdout
    assert trained.json("show", "trained")["evaluations"] == []
    result = trained("evaluate", "trained", "--ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "has no evaluations on other data" in result.stderr
