"""Accuracy, confusion matrix and other measures of predictions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.evaluate import Evaluation, evaluate, judge
from engine.evaluate.measures import MEASURED, DomainResult
from engine.execution import Execution
from engine.model import build_network
from engine.protocol.evaluated import EVALUATED

CPU = Execution(torch.device("cpu"), "fp32", "contiguous")


def test_counts_agree_with_the_definition_whatever_the_batching() -> None:
    network = build_network("resnet10t", classes=4, weights="none", image_size=32, seed=0)
    images, labels = torch.randn(10, 3, 32, 32), torch.arange(10) % 4
    network.set_training(freeze_batchnorm=True)
    batches = [(images[:6], labels[:6]), (images[6:], labels[6:])]
    result = evaluate(network, batches, CPU)
    with torch.inference_mode():
        logits = network.module.eval()(images)
    guesses = logits.argmax(dim=1)
    assert result.images == 10
    assert result.correct == int((guesses == labels).sum())
    assert result.accuracy == pytest.approx(result.correct / 10)
    assert result.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)))
    assert result.predicted.tolist() == torch.bincount(guesses, minlength=4).tolist()


def test_evaluation_is_unmasked_and_repeats() -> None:
    network = build_network("resnet10t", classes=4, weights="none", image_size=32, seed=0)
    batches = [(torch.randn(10, 3, 32, 32), torch.arange(10) % 4)]
    first, second = evaluate(network, batches, CPU), evaluate(network, batches, CPU)
    assert first.loss_sum == second.loss_sum
    assert not network.module.training


def evaluation(predicted: list[int], id_loss: float) -> Evaluation:
    return Evaluation([], 0.2, 0.2, id_loss, torch.tensor(predicted))


def test_the_dominant_class_and_its_share() -> None:
    result = evaluation([1, 3, 0], 1.0)
    assert (result.dominant_class, result.dominant_share) == (1, 0.75)


def test_a_result_divides_by_its_images() -> None:
    result = DomainResult(torch.tensor([[4, 1], [1, 2]]), loss_sum=4.0)
    assert (result.images, result.accuracy, result.loss) == (8, 0.75, 0.5)


def scripted(logits: list[list[float]], labels: list[int]) -> DomainResult:
    """Evaluate a network that answers with these logits, two images in a batch."""
    network = build_network("resnet10t", classes=3, weights="none", image_size=32, seed=0)
    answers = torch.tensor(logits)
    network = replace(network, module=Parrot(answers))
    images = torch.arange(len(labels), dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    pairs = zip(images.split(2), torch.tensor(labels).split(2), strict=True)
    return evaluate(network, pairs, CPU)


class Parrot(nn.Module):
    """Answers an image whose pixels are all i with the i-th logits."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self._answers = answers

    def forward(self, images: Tensor) -> Tensor:
        return self._answers[images[:, 0, 0, 0].long()]


def test_confusions_are_counted_by_label_and_guess() -> None:
    result = scripted([[9, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 0, 0]], [0, 0, 1, 1, 2])
    assert result.confusion.tolist() == [[2, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert (result.images, result.correct) == (5, 3)
    assert result.predicted.tolist() == [3, 1, 1]


def test_mistakes_come_most_confident_first_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.evaluate.measures.MOST_MISTAKES", 48)
    logits = [[float(at), 0, 0] for at in range(100)]
    result = scripted(logits, [at % 2 for at in range(100)])
    assert len(result.mistakes) == 48
    assert [each.position for each in result.mistakes[-3:]] == [9, 7, 5]
    last = result.mistakes[-1]
    assert (last.label, last.predicted) == (1, 0)
    assert last.confidence == pytest.approx(math.exp(5) / (math.exp(5) + 2))
    assert all(0 <= each.confidence <= 1 for each in result.mistakes)


def test_a_mistake_names_the_second_most_probable_class() -> None:
    (mistake,) = scripted([[1, 3, 2], [0, 1, 0]], [0, 1]).mistakes
    assert (mistake.predicted, mistake.second) == (1, 2)
    assert mistake.second_confidence == pytest.approx(mistake.confidence / math.e)


def test_a_guess_without_a_number_is_no_confident_mistake() -> None:
    result = scripted([[math.nan, 0, 0], [0, 1, 0]], [1, 0])
    assert [each.position for each in result.mistakes] == [1]


def test_every_declared_measure_is_computed() -> None:
    assert list(MEASURED) == list(EVALUATED)


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
