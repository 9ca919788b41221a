"""A request to predict reports a row for each image, in order, whatever the images are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import InputError
from engine.inference.classifier import load_classifier
from engine.inference.listing import find_files
from engine.inference.predict import predict_images
from engine.model.tensor_file import read_header, read_tensors, write_tensors
from engine.protocol.inference import PredictImages, Prediction, PredictionsMade
from engine.protocol.work import WorkNote, WorkReport, WorkRows
from engine.rundir import RunDir
from tests.small_runs import MakeRun, run_here


@pytest.fixture
def run_dir(make_run: MakeRun) -> RunDir:
    run_dir = make_run()
    run_here(run_dir)
    return run_dir


def _predicted(
    run_dir: RunDir, paths: list[str], **given: Any
) -> tuple[PredictionsMade, list[Prediction], list[str]]:
    """Return the answer, the rows and the notes of a request."""
    reports: list[WorkReport] = []
    request = PredictImages(run_dir=str(run_dir.path), paths=tuple(paths), device="cpu", **given)
    made = predict_images(request, find_files(request), reports.append)
    batches = [each.rows for each in reports if isinstance(each, WorkRows)]
    rows = [row for each in batches for row in msgspec.json.decode(each, type=list[Prediction])]
    return made, rows, [each.text for each in reports if isinstance(each, WorkNote)]


def _odd_images(folder: Path) -> dict[str, bool]:
    """Write images of many kinds; return whether each can be read."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (60, 40, 3), dtype=np.uint8)
    plain = Image.fromarray(noise)
    Image.new("RGB", (1, 1)).save(folder / "1x1.png")
    plain.resize((5000, 4000)).save(folder / "huge.jpg")
    plain.save(folder / "frames.gif", save_all=True, append_images=[plain.rotate(90)])
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray((noise[..., 0].astype(np.uint16)) * 257).save(folder / "grey16.png")
    plain.convert("RGBA").save(folder / "alpha.png")
    plain.convert("P").save(folder / "palette.png")
    plain.save(folder / "name is wrong.png", "JPEG")
    Image.fromarray(noise[..., 0].astype(np.float32)).save(folder / "float.tif")
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("hello")
    (folder / "cut.png").write_bytes((folder / "alpha.png").read_bytes()[:900])
    os.mkfifo(folder / "pipe.png")
    bad = ("float.tif", "empty.png", "text.jpg", "cut.png", "pipe.png")
    return {each.name: each.name not in bad for each in sorted(folder.iterdir())}


def test_every_image_has_a_row_and_the_unreadable_say_why(run_dir: RunDir, tmp_path: Path) -> None:
    are_readable = _odd_images(tmp_path / "odd")
    made, rows, _ = _predicted(run_dir, [str(tmp_path / "odd")], batch_size=3)
    assert {Path(row.path).name: not row.problem for row in rows} == are_readable
    assert [row.path for row in rows] == sorted(row.path for row in rows)
    assert (made.images, made.unreadable) == (len(rows), 5)
    for row in rows:
        assert len(row.classes) == (0 if row.problem else 1)


def test_rows_are_the_calibrated_probabilities(run_dir: RunDir, small_emoji: Path) -> None:
    made, rows, notes = _predicted(run_dir, [str(small_emoji)], top=9, ood="energy")
    assert notes == []
    assert run_dir.calibration.is_file()
    classifier = load_classifier(run_dir)
    assert made.temperature == classifier.temperature != 1
    assert made.calibration == classifier.calibration
    images = [classifier.transform(Image.open(row.path)) for row in rows[:10]]
    with torch.inference_mode():
        logits = classifier(torch.stack(images))
        expected = classifier.probabilities(torch.stack(images))
    for row, shares, score in zip(rows, expected, -logits.logsumexp(dim=1), strict=False):
        assert row.classes[0] == classifier.classes[int(shares.argmax())]
        assert len(row.classes) == 3
        assert row.probabilities == pytest.approx(shares.sort(descending=True).values, abs=1e-4)
        assert row.margin == pytest.approx(row.probabilities[0] - row.probabilities[1])
        assert row.ood_score is not None
        assert row.ood_score == pytest.approx(float(score), abs=1e-3)
        assert made.threshold is not None
        assert row.is_ood == (row.ood_score > made.threshold)


def test_without_its_images_a_run_predicts_uncalibrated(
    make_run: MakeRun, small_emoji: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(small_emoji, images)
    run_dir = make_run(data_dir=str(images))
    run_here(run_dir)
    images.rename(tmp_path / "moved")
    made, rows, [note] = _predicted(run_dir, [str(tmp_path / "moved")], ood="msp")
    assert note.startswith("Probabilities are not calibrated. The images of run")
    assert "no folder or file" in note
    assert (made.temperature, made.threshold, made.calibration) == (1, None, None)
    assert all(row.is_ood is None and row.ood_score is not None for row in rows)


def test_calibration_can_be_left_out(run_dir: RunDir, small_emoji: Path) -> None:
    paths = [str(next(small_emoji.rglob("*.webp")))]
    made, [row], [note] = _predicted(run_dir, paths, calibrates=False, ood="msp")
    assert "no threshold" in note
    assert (made.temperature, row.is_ood) == (1, None)
    assert not run_dir.calibration.exists()
    _predicted(run_dir, paths)
    made, [row], notes = _predicted(run_dir, paths, calibrates=False, ood="msp")
    assert (made.temperature, notes) == (1, [])
    assert row.is_ood is not None


def test_a_file_name_that_is_not_utf8_is_a_problem(run_dir: RunDir, tmp_path: Path) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    os.rename(folder / "a.png", os.fsencode(folder) + b"/\xff.png")
    made, [row], _ = _predicted(run_dir, [str(folder)])
    assert made.unreadable == 1
    assert row.path.endswith(r"\xff.png")
    assert row.problem == "the file name is not UTF-8; rename the file"


def test_a_network_that_computes_nan_is_refused(run_dir: RunDir, small_emoji: Path) -> None:
    path = run_dir.best_checkpoint
    spoilt = {name: each * float("nan") if each.is_floating_point() else each
              for name, each in read_tensors(path).items()}  # fmt: skip
    write_tensors(path, spoilt, read_header(path)[0])
    with pytest.raises(InputError, match="output is not finite"):
        _predicted(run_dir, [str(small_emoji)])
