"""Accuracy with few units, compared with one network at a time in float64."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.diagnose.unit_share import MASKS, SHARES, accuracy_of_kept_units
from engine.errors import InputError

IMAGES, UNITS, CLASSES = 400, 128, 5


def problem() -> tuple[Tensor, Tensor, nn.Linear]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=generator)
    head = nn.Linear(UNITS, CLASSES)
    with torch.no_grad():
        head.weight.normal_(generator=generator)
        head.bias.normal_(std=3, generator=generator)
        noise = torch.randn(IMAGES, UNITS, generator=generator)
        features = (0.2 * head.weight[labels] + noise).relu()
    return features, labels, head


def test_every_share_agrees_with_masks_on_one_image_after_another() -> None:
    features, labels, head = problem()
    found = accuracy_of_kept_units(features, labels, head.weight.data, head.bias.data, seed=3)
    assert [each.share for each in found] == list(SHARES)
    generator = torch.Generator().manual_seed(3)
    orders = [torch.randperm(UNITS, generator=generator).numpy() for _ in range(MASKS)]
    weight, bias = head.weight.detach().double().numpy(), head.bias.detach().double().numpy()
    for each in found:
        assert each.units == max(1, round(each.share * UNITS))
        accuracies = []
        for order in orders:
            mask = np.zeros(UNITS)
            mask[order[: each.units]] = UNITS / each.units
            guesses = [(weight @ (image * mask) + bias).argmax() for image in features.numpy()]
            accuracies.append(float((np.array(guesses) == labels.numpy()).mean()))
        assert each.mean == pytest.approx(statistics.fmean(accuracies), abs=1e-6)
        if each.units < UNITS:
            assert each.sd == pytest.approx(statistics.stdev(accuracies), abs=1e-6)
        else:
            assert (each.sd, len(each.accuracies)) == (None, 1)
    assert found[0].mean > found[3].mean > found[-1].mean


def test_redundant_units_survive_and_a_single_one_does_not() -> None:
    labels = torch.arange(2).repeat(50)
    signal = (2.0 * labels - 1)[:, None]
    weight = torch.cat([-torch.ones(1, 100), torch.ones(1, 100)])
    redundant = accuracy_of_kept_units(signal.repeat(1, 100), labels, weight, None)
    assert [each.mean for each in redundant] == [1.0] * len(SHARES)
    alone = torch.zeros(100, 100)
    alone[:, :1] = signal
    found = accuracy_of_kept_units(alone, labels, weight, None)
    assert found[0].mean == 1
    assert found[-1].mean < 0.7


def test_masks_are_the_same_for_other_images_and_nested() -> None:
    features, labels, head = problem()
    same = [
        accuracy_of_kept_units(features, labels, head.weight.data, head.bias.data, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert same[0] == same[1] != same[2]


def test_bad_input_is_refused() -> None:
    features, labels, head = problem()
    features[0, 0] = float("nan")
    with pytest.raises(InputError, match="^The features are NaN or infinite in 1 of 400 images"):
        accuracy_of_kept_units(features, labels, head.weight.data, head.bias.data)
    with pytest.raises(ValueError, match="shares"):
        accuracy_of_kept_units(features.nan_to_num(), labels, head.weight.data, None, shares=[0])


def test_constant_features_predict_one_class() -> None:
    _, labels, head = problem()
    found = accuracy_of_kept_units(
        torch.zeros(IMAGES, UNITS), labels, head.weight.data, head.bias.data
    )
    share = float((labels == int(head.bias.argmax())).double().mean())
    assert [each.mean for each in found] == pytest.approx([share] * len(SHARES))
