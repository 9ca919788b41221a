"""How far an accuracy on a number of images can be believed: the 95% interval of one run.

It covers the sampling of images and nothing else: neither seeds nor training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

_NORMAL_975: Final = 1.959964
_HALVINGS: Final = 60


class Sample(NamedTuple):
    """An accuracy (0 to 1) and how many images of a domain it was measured on."""

    accuracy: float
    images: int


class Interval(NamedTuple):
    """A 95% interval of an accuracy, from 0 to 1."""

    low: float
    high: float


def accuracy_interval(samples: Sequence[Sample]) -> Interval | None:
    """Return the 95% score interval of the unweighted mean of accuracies of several domains.

    The domains are independent binomials. A mean θ lies within the interval where
    |mean of p̂ − θ| ≤ z · √(Σ pᵢ(1 − pᵢ) / nᵢ) / k, the pᵢ being the most likely ones of mean θ.
    With one domain that is Wilson's interval (1927). For several, Martín Andrés, Herranz Tejedor
    and Álvarez Hernández (2012, doi:10.1080/00949655.2010.530601) compare the score method with
    intervals made of Wald's and of Wilson's. It never leaves 0 to 1, needs no case for accuracies
    of 0 or 1, and keeps to 95% with a few images a domain, where Wald's covers far less.

    Returns:
        None without samples, or where one has no images.
    """
    if not samples or any(sample.images < 1 for sample in samples):
        return None
    opposite = [Sample(1 - sample.accuracy, sample.images) for sample in samples]
    return Interval(_lower_bound(samples), 1 - _lower_bound(opposite))


def half_interval(counts: Sequence[int]) -> float:
    """Return half of the widest interval that so many images of each domain (1 or more) leave.

    It is that of accuracies of 50%.
    """
    interval = accuracy_interval([Sample(0.5, images) for images in counts])
    if interval is None:
        raise ValueError(f"counts must be 1 or more of one domain or more, not {list(counts)}")
    return (interval.high - interval.low) / 2


def _lower_bound(samples: Sequence[Sample]) -> float:
    """Return the lowest mean that is z standard errors below the one that was measured.

    The most likely accuracies of a lower mean are those of a Lagrange multiplier; distance grows
    with it, so that halving finds the bound.
    """
    if all(sample.accuracy == 0 for sample in samples):
        return 0.0
    low, high = 0.0, 1.0
    while _distance(samples, high) < _NORMAL_975:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _distance(samples, middle) < _NORMAL_975:
            low = middle
        else:
            high = middle
    return _mean([_likeliest(sample, high) for sample in samples])


def _distance(samples: Sequence[Sample], multiplier: float) -> float:
    """Return how many standard errors the measured mean lies above that of a multiplier."""
    shares = [_likeliest(sample, multiplier) for sample in samples]
    above = _mean([sample.accuracy for sample in samples]) - _mean(shares)
    if above <= 0:
        return 0.0
    variance = sum(
        share * (1 - share) / sample.images for share, sample in zip(shares, samples, strict=True)
    )
    return above * len(samples) / math.sqrt(variance)


def _likeliest(sample: Sample, multiplier: float) -> float:
    """Return the share p of which n(p̂ − p) = multiplier · p(1 − p), at most p̂."""
    both = multiplier + sample.images
    product = sample.images * sample.accuracy
    return 2 * product / (both + math.sqrt(max(0.0, both * both - 4 * multiplier * product)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
