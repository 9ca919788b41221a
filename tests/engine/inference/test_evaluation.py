"""A run's network evaluated on labelled images: as the run measured, and what is known of them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.errors import DataError, InputError
from engine.evaluate.measures import MEASURED
from engine.inference.evaluation import evaluate_run
from engine.inference.labelled import find_images
from engine.model.tensor_file import digest_of
from engine.protocol import Evaluated, resolve_spec
from engine.protocol.data_evaluations import (
    DataEvaluation,
    decode_data_evaluation,
    encode_data_evaluation,
)
from engine.protocol.inference import EvaluateRun
from engine.protocol.work import WorkNote, WorkReport
from engine.rundir import RunDir, UserData
from tests.small_runs import SMALL_CLASSES, SMALL_RUN, read_events, run_here

TARGET = "fluent-mono"
SOURCE = "noto"
IMAGES = {"in": 39, "out": 9}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> RunDir:
    made = RunDir(tmp_path_factory.mktemp("home") / "home" / "runs" / "run")
    made.create(resolve_spec({"data_dir": str(small_emoji), **SMALL_RUN}), UserData())
    run_here(made)
    return made


def _evaluate(
    run_dir: RunDir, data: Path | str, reports: list[WorkReport] | None = None, **fields: Any
) -> DataEvaluation:
    request = EvaluateRun(
        run_dir=str(run_dir.path), dataset="photos", data_dir=str(data), device="cpu", **fields
    )
    return evaluate_run(
        request, find_images(request), (reports if reports is not None else []).append
    )


def _copy(domain: Path, folder: Path, classes: tuple[str, ...] = SMALL_CLASSES) -> Path:
    """Copy a domain's classes as ``folder/class/image``."""
    for name in classes:
        shutil.copytree(domain / name, folder / name)
    return folder


def test_the_target_is_evaluated_as_in_the_run(run_dir: RunDir, small_emoji: Path) -> None:
    reports: list[WorkReport] = []
    found = _evaluate(run_dir, small_emoji, reports, domains=(TARGET,))
    assert not [each for each in reports if isinstance(each, WorkNote)]
    best = [each for each in read_events(run_dir) if isinstance(each, Evaluated) if each.is_best]
    of_target = {
        (each.split, each.name): each.value or 0.0
        for each in best[-1].metrics
        if each.domain == TARGET
    }
    [domain] = found.domains
    scores = domain.scores
    for name, value in (("accuracy", scores.accuracy.value), ("loss", scores.loss)):
        total = sum(of_target[split, name] * count for split, count in IMAGES.items())
        assert value == pytest.approx(total / scores.images)
    assert (found.step, found.arm, found.mean) == (best[-1].step, "dropout", None)
    assert (found.classes, found.absent) == (SMALL_CLASSES, ())
    assert (domain.known, found.is_test) == ({"target": 48}, True)
    assert set(scores.measures) == set(MEASURED)
    assert set(scores.calibrated) == {"calibration_error"}
    assert decode_data_evaluation(encode_data_evaluation(found)) == found


def test_results_of_several_domains_and_their_mean(run_dir: RunDir, small_emoji: Path) -> None:
    found = _evaluate(run_dir, small_emoji, calibrates=False)
    accuracies = [each.scores.accuracy.value or 0.0 for each in found.domains]
    assert found.overall is found.mean
    assert found.mean is not None
    assert found.mean.accuracy.value == pytest.approx(sum(accuracies) / 4)
    assert found.pooled.images == 192
    assert (found.temperature, found.pooled.calibrated) == (None, {})
    known = {each.domain: each.known for each in found.domains}
    assert known.pop(TARGET) == {"target": 48}
    assert [*known.values()] == [{"training": 39, "validation": 9}] * 3
    assert not found.is_test


def test_own_images_are_found_under_other_names_and_in_other_files(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    """Renamed files have the same content; re-encoded ones the same pixels."""
    renamed = tmp_path / "renamed" / SMALL_CLASSES[0]
    renamed.mkdir(parents=True)
    images = sorted((small_emoji / SOURCE / SMALL_CLASSES[0]).iterdir())
    for number, path in enumerate(images[:8]):
        shutil.copy(path, renamed / f"{number}.png")
    for number, path in enumerate(images[8:16]):
        with Image.open(path) as image:
            image.convert("RGB").save(renamed / f"again-{number}.bmp")
    Image.new("RGB", (40, 40), (9, 99, 199)).save(renamed / "new.png")
    found = _evaluate(run_dir, renamed.parent)
    assert sum(found.known.values()) == 16
    assert set(found.known) <= {"training", "validation"}
    assert found.pooled.images == 17


def test_own_data_that_is_gone_cannot_be_searched(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data" / "mine"
    shutil.copytree(small_emoji, data)
    spec = resolve_spec({"data_dir": str(data), **SMALL_RUN, "steps": 8})
    moved = RunDir(tmp_path / "home" / "runs" / "run")
    moved.create(spec, UserData())
    run_here(moved)
    shutil.rmtree(data / SOURCE / SMALL_CLASSES[0])
    reports: list[WorkReport] = []
    found = _evaluate(moved, small_emoji, reports)
    assert "different classes" in found.known_problem
    assert found.is_test
    assert [type(each) for each in reports if isinstance(each, WorkNote)] == [WorkNote]
    assert found.temperature is None
    shutil.rmtree(data)
    problem = _evaluate(moved, small_emoji).known_problem
    assert problem == f"no folder or file {data}."


def test_some_classes_in_one_folder(run_dir: RunDir, small_emoji: Path, tmp_path: Path) -> None:
    data = _copy(small_emoji / TARGET, tmp_path / "photos", SMALL_CLASSES[1:2])
    found = _evaluate(run_dir, data)
    assert [each.domain for each in found.domains] == ["all"]
    assert found.absent == (SMALL_CLASSES[0], SMALL_CLASSES[2])
    assert found.pooled.measures["balanced_accuracy"].value == found.pooled.accuracy.value


def test_merged_splits_are_stated(run_dir: RunDir, small_emoji: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        _copy(small_emoji / TARGET, tmp_path / "photos" / split)
    found = _evaluate(run_dir, tmp_path / "photos")
    assert "test and train merged" in found.reading
    assert [each.domain for each in found.domains] == ["all"]
    assert _evaluate(run_dir, tmp_path / "photos" / "test").reading == ""


def test_domains_may_have_different_classes(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    _copy(small_emoji / TARGET, tmp_path / "photos" / "a", SMALL_CLASSES[:2])
    _copy(small_emoji / TARGET, tmp_path / "photos" / "b", SMALL_CLASSES[1:])
    found = _evaluate(run_dir, tmp_path / "photos")
    assert [(each.domain, each.scores.images) for each in found.domains] == [("a", 32), ("b", 32)]


def test_classes_are_mapped_and_left_out(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    data = _copy(small_emoji / TARGET, tmp_path / "photos")
    (data / "animal").rename(data / "Animal")
    with pytest.raises(InputError, match="--map Animal=animal"):
        _evaluate(run_dir, data)
    found = _evaluate(run_dir, data, class_map={"Animal": "animal", "food": ""})
    assert found.left_out == {"food": 16}
    assert found.pooled.images == 32
    assert found.absent == ("food",)
    same = _evaluate(run_dir, small_emoji, domains=(TARGET,))
    labels = Counter(each.label for domain in same.domains for each in domain.confusions)
    assert set(labels) == {0, 1, 2}


def test_a_table_needs_no_domains_and_may_have_groups(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    paths = sorted((small_emoji / TARGET).glob("*/*"))
    table = tmp_path / "photos.csv"
    rows = [f"{path},{path.parent.name},{number // 4}" for number, path in enumerate(paths)]
    table.write_text("\n".join(["path,label,group", *rows]))
    found = _evaluate(run_dir, table)
    assert [each.domain for each in found.domains] == ["all"]
    assert found.pooled.groups == 12
    without = tmp_path / "plain.csv"
    without.write_text("\n".join(["path,label", *(row.rpartition(",")[0] for row in rows)]))
    plain = _evaluate(run_dir, without)
    assert plain.pooled.groups is None
    assert plain.pooled.accuracy.value == found.pooled.accuracy.value
    assert plain.pooled.accuracy.interval != found.pooled.accuracy.interval


def test_unreadable_images_are_listed(run_dir: RunDir, small_emoji: Path, tmp_path: Path) -> None:
    data = _copy(small_emoji / TARGET, tmp_path / "photos")
    (data / "food" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (data / "food" / "text.jpg").write_bytes(b"hello")
    found = _evaluate(run_dir, data)
    assert set(found.unreadable) == {"food/torn.png", "food/text.jpg"}
    assert "not an image" in found.unreadable["food/text.jpg"]
    assert found.pooled.images == 48
    for name in SMALL_CLASSES:
        shutil.rmtree(data / name)
    (data / "food").mkdir()
    (data / "food" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"No image of .* can be read"):
        _evaluate(run_dir, data)


def test_what_is_not_there_is_named(run_dir: RunDir, small_emoji: Path) -> None:
    with pytest.raises(DataError, match="has no domain Noto. Did you mean noto"):
        _evaluate(run_dir, small_emoji, domains=("Noto",))
    with pytest.raises(InputError, match="has no arm averaged; it has dropout"):
        _evaluate(run_dir, small_emoji, arm="averaged")


def test_an_evaluation_names_the_network_that_was_loaded(
    run_dir: RunDir, small_emoji: Path, tmp_path: Path
) -> None:
    expected = _evaluate(run_dir, small_emoji, domains=(TARGET,))
    copy = RunDir(tmp_path / "runs" / "run")
    shutil.copytree(run_dir.path, copy.path)

    def replace(_report: WorkReport) -> None:
        shutil.copy(copy.last_checkpoint, copy.best_checkpoint)

    request = EvaluateRun(
        run_dir=str(copy.path), dataset="photos", data_dir=str(small_emoji), device="cpu",
        domains=(TARGET,),
    )  # fmt: skip
    found = evaluate_run(request, find_images(request), replace)
    assert digest_of(copy.best_checkpoint) != expected.checkpoint
    assert (found.checkpoint, found.step) == (expected.checkpoint, expected.step)
