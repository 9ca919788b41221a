"""The bins of a reliability diagram, compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from torch import Tensor

from engine.diagnose.reliability import reliability_of
from engine.errors import InputError
from engine.evaluate import judge
from engine.evaluate.measures import BINS


def predictions(images: int = 700, classes: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator) * 2
    logits[torch.arange(images), labels] += 1
    return logits, labels


def test_bins_agree_with_scikit_learn() -> None:
    logits, labels = predictions()
    found = reliability_of(logits, labels)
    shares = logits.double().softmax(dim=1).numpy()
    confidence, is_right = shares.max(axis=1), shares.argmax(axis=1) == labels.numpy()
    accuracy, mean = calibration_curve(is_right, confidence, n_bins=BINS, strategy="uniform")
    filled = [each for each in found.bins if each.images]
    assert len(found.bins) == BINS > len(filled)
    assert [each.accuracy for each in filled] == pytest.approx(list(accuracy), abs=1e-6)
    assert [each.confidence for each in filled] == pytest.approx(list(mean), abs=1e-6)
    assert sum(each.images for each in found.bins) == len(labels)
    counts = np.array([each.images for each in filled])
    expected = float((np.abs(accuracy - mean) * counts).sum() / counts.sum())
    assert found.calibration_error == pytest.approx(expected, abs=1e-6)
    assert found.overconfidence == pytest.approx(confidence.mean() - is_right.mean(), abs=1e-6)


def test_the_calibration_error_is_the_one_of_evaluations() -> None:
    logits, labels = predictions()
    recorded = judge([(logits, labels)], logits.shape[1]).measures["calibration_error"]
    assert reliability_of(logits, labels).calibration_error == recorded


def test_a_bin_without_images_has_no_accuracy() -> None:
    found = reliability_of(torch.tensor([[50.0, 0], [50, 0]]), torch.tensor([0, 1]))
    *empty, last = found.bins
    assert all((each.images, each.confidence, each.accuracy) == (0, None, None) for each in empty)
    assert [last.low, last.high, last.images] == pytest.approx([14 / 15, 1, 2])
    assert [last.confidence, last.accuracy] == pytest.approx([1, 0.5])
    assert found.overconfidence == found.calibration_error == pytest.approx(0.5)


def test_logits_that_are_not_finite_are_refused() -> None:
    logits, labels = predictions()
    logits[3, 1] = float("nan")
    with pytest.raises(InputError, match="^The logits are NaN or infinite in 1 of 700 images"):
        reliability_of(logits, labels)
