"""``--outliers``: a folder of images to abstain on, on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.protocol import FIELDS
from tests.small_runs import SMALL_RUN, make_outliers
from tests.vld_tui.cli.conftest import Vld

SHORT = {**SMALL_RUN, "steps": 2, "warmup_steps": 1, "eval_every": 2, "log_every": 1}


@pytest.fixture
def started(tmp_path: Path, small_emoji: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the words that start a short run of the real engine, with a folder of outliers."""
    monkeypatch.chdir(tmp_path)
    make_outliers(tmp_path / "others")
    values = {"data_dir": str(small_emoji), **SHORT, "head_steps": 0}
    words = [word for name, value in values.items() for word in (FIELDS[name].flag, str(value))]
    return ["run", *words, "--outliers", "others"]


def test_a_run_shows_its_outliers(tmp_path: Path, started: list[str]) -> None:
    vld = Vld(tmp_path / "home")
    plan = vld(*started, "--outlier-batch", "3", "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert f"outliers  {tmp_path / 'others'} · 3 per step, labelled abstain" in plan.stdout
    ran = vld(*started)
    assert ran.exit_code == 0, ran.output
    lines = " ".join(vld("show", "@last").stdout.split())
    assert "others · 12 images · 4 per step, labelled abstain" in lines


def test_a_step_for_more_outliers_than_there_are_is_refused(
    tmp_path: Path, started: list[str]
) -> None:
    ran = Vld(tmp_path / "home")(*started, "--outlier-batch", "13")
    assert ran.exit_code == 2
    assert "has 12 readable images, but a step draws 13. Add images, or lower" in ran.stderr


@pytest.mark.parametrize(
    ("domain", "problem"),
    [
        ("fluent-mono", "also in the target fluent-mono, which is never trained on: more/copy.png"),
        ("noto", "also in the source noto, so they would be trained both as a class and to"),
    ],
)
def test_images_of_the_run_are_no_outliers(
    tmp_path: Path, started: list[str], small_emoji: Path, domain: str, problem: str
) -> None:
    image, *_ = sorted((small_emoji / domain / "face").iterdir())
    shutil.copy(image, tmp_path / "others" / "more" / "copy.png")
    ran = Vld(tmp_path / "home")(*started)
    assert ran.exit_code == 2
    assert problem in " ".join(ran.stderr.split())


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["nowhere"], "{}/nowhere does not exist. Give a folder of images, or one of emoji, obj"),
        (["others/0.txt"], "{}/others/0.txt is not a folder. Give a folder of images, or one of "),
        (["empty"], "{}/empty has no images (left out: 1 other file (notes.txt)). Give a "),
        (["emoji"], "emoji: all classes of this data set are classes of the run. Give a folder"),
        (["others", "--outlier-batch", "13"], "{}/others has 12 readable images, but a step draws"),
    ],
)
def test_unusable_outliers_are_refused_before_the_run(
    tmp_path: Path, started: list[str], given: list[str], problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty/notes.txt", "others/0.txt"):
        (tmp_path / name).write_text("no image")
    words = [*started[:-1], *given, "--dry-run", "--json"]
    if given == ["emoji"]:
        words[words.index("--data") : words.index("--data") + 2] = ["--dataset", "emoji"]
    plan = Vld(tmp_path / "home")(*words)
    assert plan.exit_code == 2
    [found] = json.loads(plan.stdout)["problems"]
    assert found.startswith(f"--outliers {problem.format(tmp_path)}")


def test_an_embedded_data_set_is_given_by_name(tmp_path: Path, started: list[str]) -> None:
    (tmp_path / "objects-drawn").mkdir()
    vld = Vld(tmp_path / "home")
    plan = vld(*started[:-1], "objects-drawn", "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert "outliers  objects-drawn · 4 per step, labelled abstain" in plan.stdout
    plan = vld(*started[:-1], "./objects-drawn", "--dry-run")
    assert f"outliers  {tmp_path / 'objects-drawn'} · " in plan.stdout
