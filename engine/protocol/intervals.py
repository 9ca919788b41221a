"""95% confidence intervals of one run's accuracy, and a warning where few images select.

They cover the sampling of images only, not seeds or training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

NORMAL_975: Final = 1.959964
_HALVINGS: Final = 60
FEWEST_VALIDATION_IMAGES: Final = 100
"""Minimum validation images over all sources without a warning."""
FEWEST_OF_A_DOMAIN: Final = 61
"""Minimum validation images of each source without a warning: a single small domain makes the
mean over domains uncertain."""


class Sample(NamedTuple):
    """An accuracy (0 to 1) and the number of images it was measured on."""

    accuracy: float
    images: int


class Interval(NamedTuple):
    """A 95% interval of an accuracy, from 0 to 1."""

    low: float
    high: float


def accuracy_interval(samples: Sequence[Sample]) -> Interval | None:
    """Return the 95% score interval of the unweighted mean accuracy of several domains.

    The domains are independent binomials. A mean θ is in the interval if
    |mean of p̂ − θ| ≤ z · √(Σ pᵢ(1 − pᵢ) / nᵢ) / k, where pᵢ are the most likely accuracies with
    mean θ. With one domain this is Wilson's interval (1927). For several, Martín Andrés, Herranz
    Tejedor and Álvarez Hernández (2012, doi:10.1080/00949655.2010.530601) compare the score method
    with combinations of Wald's and Wilson's intervals. It stays within 0 to 1, needs no special
    case for accuracies of 0 or 1, and keeps 95% coverage with few images, unlike Wald's.

    Returns:
        None without samples or if one has no images.
    """
    if not samples or any(sample.images < 1 for sample in samples):
        return None
    opposite = [Sample(1 - sample.accuracy, sample.images) for sample in samples]
    return Interval(_lower_bound(samples), 1 - _lower_bound(opposite))


def half_interval(counts: Sequence[int]) -> float:
    """Return the half-width of the interval at accuracies of 50%, where it is widest.

    Args:
        counts: images of each domain, at least 1 each.

    Raises:
        ValueError: if ``counts`` is empty or has a count below 1.
    """
    interval = accuracy_interval([Sample(0.5, images) for images in counts])
    if interval is None:
        raise ValueError(f"counts must be non-empty and at least 1 each, not {list(counts)}")
    return (interval.high - interval.low) / 2


def _lower_bound(samples: Sequence[Sample]) -> float:
    """Return the mean that is z standard errors below the measured one.

    A Lagrange multiplier gives the most likely accuracies for a lower mean; the distance grows
    monotonically with it, so bisection finds the bound.
    """
    if all(sample.accuracy == 0 for sample in samples):
        return 0.0
    low, high = 0.0, 1.0
    while _distance(samples, high) < NORMAL_975:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _distance(samples, middle) < NORMAL_975:
            low = middle
        else:
            high = middle
    return _mean([_most_likely(sample, high) for sample in samples])


def _distance(samples: Sequence[Sample], multiplier: float) -> float:
    """Return how many standard errors the measured mean is above that of a multiplier."""
    shares = [_most_likely(sample, multiplier) for sample in samples]
    above = _mean([sample.accuracy for sample in samples]) - _mean(shares)
    if above <= 0:
        return 0.0
    variance = sum(
        share * (1 - share) / sample.images for share, sample in zip(shares, samples, strict=True)
    )
    return above * len(samples) / math.sqrt(variance)


def _most_likely(sample: Sample, multiplier: float) -> float:
    """Return the accuracy p ≤ p̂ that solves n(p̂ − p) = multiplier · p(1 − p)."""
    both = multiplier + sample.images
    product = sample.images * sample.accuracy
    return 2 * product / (both + math.sqrt(max(0.0, both * both - 4 * multiplier * product)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def uncertain_selection(held_out: Mapping[str, int], select_on: str = "accuracy") -> str:
    """Return a warning about the uncertainty of ID accuracy, or an empty string.

    Args:
        held_out: number of validation images of each source.
        select_on: what selects the run's step. Class-balanced accuracy is at least as uncertain as
            accuracy: at recalls of 50% its variance is Σ 1 / (4 C² n_c), lowest for equal n_c.
    """
    counts = [*held_out.values()]
    images, smallest = sum(counts), min(held_out, key=lambda name: held_out[name], default="")
    if min(counts, default=0) < 1:
        return ""
    about_id = "ID accuracy, and any selection based on it, is uncertain by up to"
    id_points = f"±{100 * half_interval(counts):.0f} points (95% interval)."
    if select_on == "balanced":
        about_id = "ID accuracy is uncertain by up to"
        id_points += " ID balanced accuracy, which selects the step, is at least as uncertain."
    if images < FEWEST_VALIDATION_IMAGES:
        noun = "validation image" if images == 1 else "validation images"
        return f"{images} {noun}: {about_id} {id_points}"
    fewest = held_out[smallest]
    if fewest < FEWEST_OF_A_DOMAIN:
        noun = "validation image" if fewest == 1 else "validation images"
        points = f"±{100 * half_interval([fewest]):.0f}"
        return (
            f"Few validation images: {smallest} has {fewest}, so its accuracy is uncertain by up "
            f"to {points} points; {about_id} {id_points}"
        )
    return ""
