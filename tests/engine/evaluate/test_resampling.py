"""95% intervals of measures over images: seeded, by domain or by group, and as wide as they say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.evaluate.measures import MEASURED, Guesses
from engine.evaluate.resampling import JudgedImages, ValueKey, Values, measure_images, pool
from engine.protocol.intervals import Sample, accuracy_interval

ACCURACY, BALANCED = ValueKey("accuracy"), ValueKey("balanced_accuracy")
ECE, CALIBRATED = ValueKey("calibration_error"), ValueKey("calibration_error", is_calibrated=True)


def _images(
    right: Tensor,
    labels: Tensor | None = None,
    groups: Tensor | None = None,
    confidence: float = 0.8,
) -> JudgedImages:
    labels = torch.arange(len(right)) % 2 if labels is None else labels
    predicted = torch.where(right, labels, 1 - labels)
    sure = torch.full((len(right),), confidence)
    guesses = Guesses(labels, predicted, sure, 2)
    return JudgedImages(guesses, Guesses(labels, predicted, sure - 0.2, 2), groups)


def _measured(*domains: JudgedImages, resamples: int = 200, seed: int = 0) -> Values:
    return measure_images(domains, resamples=resamples, seed=seed)[2]


def _right(count: int, of: int) -> Tensor:
    return torch.arange(of) < count


def test_values_are_those_of_the_measures() -> None:
    images = _images(_right(30, 40))
    [values], pooled, mean = measure_images([images], resamples=50, seed=0)
    judged = images.guesses.judged()
    assert values[ACCURACY].value == 0.75
    assert {key.name for key in values if not key.is_calibrated} == {"accuracy", *MEASURED}
    for name, measured in MEASURED.items():
        assert values[ValueKey(name)].value == pytest.approx(measured(judged))
    assert values[CALIBRATED].value == pytest.approx(0.15)
    assert values == pooled == mean


def test_the_interval_of_accuracy_is_that_of_runs() -> None:
    one, other = _images(_right(30, 40)), _images(_right(9, 10))
    values, pooled, mean = measure_images([one, other], resamples=50, seed=0)
    assert values[1][ACCURACY].interval == accuracy_interval([Sample(0.9, 10)])
    assert mean[ACCURACY].interval == accuracy_interval([Sample(0.75, 40), Sample(0.9, 10)])
    assert mean[ACCURACY].value == pytest.approx(0.825)
    assert pooled[ACCURACY].value == pytest.approx(39 / 50)


def test_the_same_seed_gives_the_same_intervals() -> None:
    images = _images(torch.rand(60, generator=torch.Generator().manual_seed(1)) < 0.7)
    assert _measured(images) == _measured(images)
    assert _measured(images)[BALANCED].interval != _measured(images, seed=1)[BALANCED].interval


def test_a_bootstrap_interval_is_as_wide_as_theory_says() -> None:
    interval = _measured(_images(_right(320, 400)), resamples=1000)[BALANCED].interval
    assert interval is not None
    half = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.15)
    assert interval.low < 0.8 < interval.high


def test_groups_are_drawn_as_wholes() -> None:
    """With ten equal images in each group, there is as much to learn as from one of each."""
    right = _right(15, 20).repeat_interleave(10)
    labels = torch.zeros(200, dtype=torch.int64)
    groups = torch.arange(20).repeat_interleave(10)
    by_image = _measured(_images(right, labels))[ACCURACY].interval
    by_group = _measured(_images(right, labels, groups), resamples=1000)[ACCURACY].interval
    assert by_image is not None
    assert by_group is not None
    ratio = (by_group.high - by_group.low) / (by_image.high - by_image.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.2)


def test_groups_of_different_domains_stay_apart() -> None:
    groups = torch.tensor([0, 0, 1])
    images = _images(_right(2, 3), groups=groups)
    assert pool([images, images]).units() == 4


def test_an_interval_where_every_prediction_is_right_has_a_width() -> None:
    groups = torch.arange(10).repeat_interleave(2)
    values = _measured(_images(_right(20, 20), groups=groups))
    assert values[ACCURACY].interval == accuracy_interval([Sample(1.0, 10)])
    interval = _measured(_images(_right(20, 20)))[BALANCED].interval
    assert interval == accuracy_interval([Sample(1.0, 10), Sample(1.0, 10)])


def test_too_little_for_an_interval() -> None:
    one = _measured(_images(_right(1, 1)))
    assert one[ACCURACY].interval == accuracy_interval([Sample(1.0, 1)])
    assert one[ECE].interval is None
    grouped = _measured(_images(_right(3, 4), groups=torch.zeros(4, dtype=torch.int64)))
    assert {each.interval for each in grouped.values()} == {None}


def test_a_confidence_that_is_not_finite_has_no_calibration_error() -> None:
    values = _measured(_images(_right(3, 4), confidence=float("nan")))
    assert values[ECE] == (None, None)
    assert values[BALANCED].value == 0.75


def test_the_interval_of_the_calibration_error_allows_for_its_bias() -> None:
    """Of a calibrated network the error is overestimated, so that its interval reaches 0."""
    draw = torch.Generator().manual_seed(3)
    confidence = 0.5 + 0.5 * torch.rand(300, generator=draw)
    right = torch.rand(300, generator=draw) < confidence
    labels = torch.zeros(300, dtype=torch.int64)
    images = JudgedImages(Guesses(labels, (~right).long(), confidence, 2))
    error, interval = _measured(images, resamples=400)[ECE]
    assert error is not None
    assert interval is not None
    assert error > 0.02
    assert interval.low < 0.02
