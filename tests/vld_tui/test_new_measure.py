"""A new measure is shown wherever measures are, without a line about it in any of those places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a process shows that has one more measure in its registry."""
    script = Path(__file__).with_name("made_up_measure.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("made-up"))],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_run_shows_it_by_domain_and_by_arm(shown: dict[str, Any]) -> None:
    show = shown["show"].splitlines()
    (heading,) = (line for line in show if line.startswith("domain "))
    assert heading.split()[-3:] == ["balanced", "sharp", "images"]
    (heading,) = (line for line in show if line.startswith("measures "))
    assert "ID sharp  OOD sharp" in heading
    assert any(line.startswith("averaged ") for line in show[show.index(heading) :])
    assert set(shown["show json"]) >= {"id_sharpness", "ood_sharpness"}


def test_lists_curves_and_comparisons_have_it(shown: dict[str, Any]) -> None:
    assert len(json.loads(shown["list"])) == 12
    assert all(cell.endswith("%") for cell in shown["column"])
    assert "sharpness" in shown["curve"]
    compared = [line.split()[:3] for line in shown["compare"].splitlines()]
    for words in (["ID", "sharp"], ["OOD", "sharp"], ["averaged", "ID", "sharp"]):
        assert any(line[: len(words)] == words for line in compared)


def test_a_study_shows_it_and_the_lowest_is_brightest(shown: dict[str, Any]) -> None:
    assert shown["heat map choices"] == [
        "ood_sharpness", "id_sharpness", "worst", "done", "ood", "id", "gap",
        "ood_balanced_accuracy", "id_balanced_accuracy",
    ]  # fmt: skip
    title, low, high = shown["heat map"]
    assert title.startswith("OOD sharpness (lower is better) by target")
    assert float(low) > float(high)
    assert "OOD sharp " in shown["cell"]
    assert "ood_sharpness,ood_sharpness_deviation" in shown["table"]
    assert set(shown["status"]) >= {"id_sharpness", "ood_sharpness"}


def test_the_plane_can_place_points_by_it(shown: dict[str, Any]) -> None:
    assert "ID across, OOD up: sharpness (lower is better)" in shown["plane"]
    assert "4 points" in shown["plane"]
    assert len(shown["plane of runs"]) == 10


def test_the_report_has_a_table_of_it_in_every_form(shown: dict[str, Any]) -> None:
    rows = shown["report"]
    assert [row["target"] for row in rows if row["setting"] == "λ 0.9"] == [
        "fluent", "noto", "mean of 2",
    ]  # fmt: skip
    for row in rows:
        assert 0 < row["ood_sharpness"] < 0.5
        assert row["ood_sharpness_standard_error"] > 0
        assert row["ood_sharpness_seeds"] == 3
    for name in ("report page", "terminal"):
        for words in ("Sharpness by target", "OOD sharp % ± s.e.", "Lower is better."):
            assert words in shown[name]
    assert r"OOD sharp \% $\pm$ s.e." in shown["report latex"]
    assert "id_sharpness,id_sharpness_standard_error" in shown["report csv"]
    assert "ood_sharpness" in shown["runs csv"]


def test_a_measure_that_is_not_registered_is_shown_nowhere(shown: dict[str, Any]) -> None:
    for name, text in shown.items():
        assert "calibration" not in json.dumps(text).lower(), name
