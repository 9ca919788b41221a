"""Measures of predictions, against their definitions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.evaluate import judge
from engine.evaluate.measures import MEASURED
from engine.protocol import MEASURES


def test_every_declared_measure_is_computed() -> None:
    assert list(MEASURED) == list(MEASURES)


def test_a_measure_is_computed_once_it_has_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASURED, "made_up", lambda judged: float(judged.is_right.sum()))
    guesses = torch.tensor([0, 1, 1])

    result = judge([(F.one_hot(guesses, 2).float(), torch.tensor([0, 1, 0]))], 2)

    assert result.measures["made_up"] == 2


def test_balanced_accuracy_counts_every_class_that_has_images_the_same() -> None:
    labels = torch.tensor([0] * 8 + [1] * 2)  # none of class 2
    guesses = torch.tensor([0] * 8 + [1, 2])

    result = judge([(F.one_hot(guesses, 3).float(), labels)], 3)

    assert result.accuracy == 0.9
    assert result.measures["balanced_accuracy"] == 0.75


def test_calibration_error_is_the_gap_of_each_of_fifteen_bins_by_its_images() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(500, 4, generator=generator)
    labels = torch.randint(0, 4, (500,), generator=generator)
    shares = logits.double().softmax(dim=1).numpy()
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels.numpy()
    expected = 0.0
    for low, high in zip(np.linspace(0, 1, 16)[:-1], np.linspace(0, 1, 16)[1:], strict=True):
        chosen = (confidence > low) & (confidence <= high)
        if chosen.any():
            expected += chosen.mean() * abs(confidence[chosen].mean() - right[chosen].mean())

    found = judge([(logits, labels)], 4).measures["calibration_error"]

    assert abs(found - expected) < 1e-6


def test_a_network_without_finite_logits_has_no_calibration_error() -> None:
    result = judge([(torch.full((2, 3), torch.nan), torch.tensor([0, 1]))], 3)

    assert np.isnan(result.measures["calibration_error"])
