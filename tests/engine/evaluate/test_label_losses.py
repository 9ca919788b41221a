"""The loss of labels compared with that of random ones agrees with its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.evaluate import label_losses
from engine.evaluate.label_losses import label_excess, of_labels, wrong_label_quantile


def _logits(images: int = 50, classes: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(images, classes, generator=torch.Generator().manual_seed(seed)) * 3


def test_the_excess_is_the_loss_minus_the_expected_loss_of_a_random_label() -> None:
    both, labels = [_logits(seed=0), _logits(seed=1)], torch.arange(50) % 4
    expected = []
    for logits in both:
        losses = -logits.double().log_softmax(dim=1)
        expected.append(F.cross_entropy(logits.double(), labels, reduction="none"))
        expected[-1] -= losses.mean(dim=1)
    found = of_labels(label_excess(both), labels)
    torch.testing.assert_close(found, (expected[0] + expected[1]) / 2, rtol=0, atol=1e-12)


def test_uninformative_logits_have_no_excess() -> None:
    assert label_excess([torch.full((3, 5), 2.0)]).abs().max() == 0


def test_the_quantile_is_of_the_other_labels_only() -> None:
    logits, labels = _logits(), torch.arange(50) % 4
    excess = label_excess([logits])
    others = [
        float(excess[image, label])
        for image in range(50)
        for label in range(4)
        if label != labels[image]
    ]
    for quantile in (0.0, 0.1, 0.5, 1.0):
        found = wrong_label_quantile(excess, labels, quantile)
        assert found == pytest.approx(np.quantile(others, quantile), abs=1e-12)


def test_the_quantile_of_many_values_is_of_some_images(monkeypatch: pytest.MonkeyPatch) -> None:
    excess, labels = label_excess([_logits(4000)]), torch.zeros(4000, dtype=torch.int64)
    exact = wrong_label_quantile(excess, labels, 0.3)
    monkeypatch.setattr(label_losses, "MOST_VALUES", 6000)
    found = wrong_label_quantile(excess, labels, 0.3)
    assert found != exact
    assert found == pytest.approx(exact, abs=0.2)


def test_values_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="no logits"):
        label_excess([])
    with pytest.raises(ValueError, match="not finite"):
        label_excess([torch.tensor([[0.0, float("nan")]])])
    one_class = torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="no wrong labels"):
        wrong_label_quantile(one_class, torch.zeros(2, dtype=torch.int64), 0.5)
