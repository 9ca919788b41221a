"""Measures of predictions on one or several domains with 95% intervals, most of them by bootstrap.

Images are drawn with replacement within each domain; if they have groups, such as the frames of a
video, whole groups are drawn. The intervals cover the sampling of images, not seeds or training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.evaluate.measures import MEASURED, Guesses
from engine.protocol.data_evaluations import MeasuredValue
from engine.protocol.evaluated import BALANCED
from engine.protocol.intervals import Interval, Sample, accuracy_interval
from engine.protocol.measures import ACCURACY, MEASURES

TAILS: Final = (0.025, 0.975)


class ValueKey(NamedTuple):
    """A measure by name, of calibrated probabilities or not."""

    name: str
    is_calibrated: bool = False

    @property
    def is_of_probabilities(self) -> bool:
        """Return whether it depends on probabilities, not only on the predicted classes."""
        return self.name in MEASURES and MEASURES[self.name].is_of_probabilities


Values = dict[ValueKey, MeasuredValue]
Points = dict[ValueKey, float]
Draws = dict[ValueKey, npt.NDArray[np.float64]]
"""Values in each resample: (B, D + 1) of the domains and of all images pooled."""


@dataclass(frozen=True)
class JudgedImages:
    """The predictions on one domain's images.

    Attributes:
        guesses: with uncalibrated probabilities.
        calibrated: the same with calibrated ones; None: unknown.
        groups: group of each image, (n,) int64; None: images have no groups.
    """

    guesses: Guesses
    calibrated: Guesses | None = None
    groups: Tensor | None = None

    def take(self, rows: Tensor) -> JudgedImages:
        """Return some images, which may repeat, without their groups."""
        calibrated = None if self.calibrated is None else self.calibrated.take(rows)
        return JudgedImages(self.guesses.take(rows), calibrated)

    def units(self, is_counted: Tensor | slice = slice(None)) -> int:
        """Return the number of images, or of groups if they have groups."""
        if self.groups is None:
            return len(self.guesses.labels[is_counted])
        return len(self.groups[is_counted].unique())


def measure_images(
    domains: Sequence[JudgedImages],
    *,
    resamples: int,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[list[Values], Values, Values]:
    """Measure accuracy and :data:`MEASURED` with their 95% intervals.

    The interval of accuracy is the score interval of :func:`accuracy_interval` unless images have
    groups. The others are bootstrap intervals: of percentiles for measures of predicted classes;
    basic ones for measures of probabilities, which are biased upwards with few images, in a
    resample even more (Davison and Hinkley, "Bootstrap Methods and their Application", 1997,
    section 5.2). If all resamples agree, as if all predictions are correct, it is the score
    interval.

    Args:
        domains: at least one; all have groups or none has.
        resamples: B.
        seed: of the draws.
        on_progress: called with the number of resamples done and the total.

    Returns:
        Values on each domain, on all images pooled, and their unweighted mean over domains.
    """
    pooled = pool(domains)
    points = [_points(each) for each in (*domains, pooled)]
    mean = {key: sum(each[key] for each in points[:-1]) / len(domains) for key in points[0]}
    draws = _draw(domains, resamples, seed, on_progress)
    values = [
        _with_intervals(point, {key: of[:, at] for key, of in draws.items()}, whole)
        for at, (point, whole) in enumerate(
            zip(points, [*([each] for each in domains), [pooled]], strict=True)
        )
    ]
    of_mean = {key: of[:, :-1].mean(axis=1) for key, of in draws.items()}
    return values[:-1], values[-1], _with_intervals(mean, of_mean, domains)


def pool(domains: Sequence[JudgedImages]) -> JudgedImages:
    """Return the images of several domains as one; groups of different domains are different."""
    calibrated = [each.calibrated for each in domains if each.calibrated is not None]
    groups: list[Tensor] = []
    for each in domains:
        if each.groups is not None:
            first = int(groups[-1].max()) + 1 if groups else 0
            groups.append(each.groups - each.groups.min() + first)
    return JudgedImages(
        _pool_guesses([each.guesses for each in domains]),
        _pool_guesses(calibrated) if calibrated else None,
        torch.cat(groups) if groups else None,
    )


def _pool_guesses(parts: Sequence[Guesses]) -> Guesses:
    return replace(
        parts[0],
        labels=torch.cat([each.labels for each in parts]),
        predicted=torch.cat([each.predicted for each in parts]),
        confidence=torch.cat([each.confidence for each in parts]),
    )


def _points(images: JudgedImages) -> Points:
    """Return the value of each measure."""
    judged = images.guesses.judged()
    points = {ValueKey(ACCURACY): float(judged.is_right.double().mean())}
    points |= {ValueKey(name): measured(judged) for name, measured in MEASURED.items()}
    if images.calibrated is not None:
        judged = images.calibrated.judged()
        keys = (ValueKey(name, is_calibrated=True) for name in MEASURED)
        points |= {key: MEASURED[key.name](judged) for key in keys if key.is_of_probabilities}
    return points


def _draw(
    domains: Sequence[JudgedImages],
    resamples: int,
    seed: int,
    on_progress: Callable[[int, int], None],
) -> Draws:
    """Return the values in each resample of all domains."""
    generator = torch.Generator().manual_seed(seed)
    members = [_members(each) for each in domains]
    drawn: list[list[Points]] = []
    for done in range(resamples):
        on_progress(done, resamples)
        taken = [
            each.take(_resample(len(each.guesses.labels), of, generator))
            for each, of in zip(domains, members, strict=True)
        ]
        points = [_points(each) for each in taken]
        drawn.append([*points, _points(pool(taken)) if len(taken) > 1 else points[0]])
    return {
        key: np.array([[points[key] for points in row] for row in drawn])
        for key in (drawn[0][0] if drawn else {})
    }


def _members(images: JudgedImages) -> list[Tensor] | None:
    """Return the rows of each group; None without groups."""
    if images.groups is None:
        return None
    order = images.groups.argsort(stable=True)
    _, counts = images.groups[order].unique_consecutive(return_counts=True)
    return list(order.split(counts.tolist()))


def _resample(images: int, members: Sequence[Tensor] | None, generator: torch.Generator) -> Tensor:
    """Return as many rows, or the rows of as many groups, as there are, with replacement."""
    if members is None:
        return torch.randint(images, (images,), generator=generator)
    chosen = torch.randint(len(members), (len(members),), generator=generator)
    return torch.cat([members[at] for at in chosen.tolist()])


def _with_intervals(points: Points, draws: Draws, domains: Sequence[JudgedImages]) -> Values:
    """Return values with their intervals; ``draws`` are (B,) each."""
    return {
        key: MeasuredValue(point, _interval(key, point, draws[key], domains))
        if math.isfinite(point)
        else MeasuredValue(None, None)
        for key, point in points.items()
    }


def _interval(
    key: ValueKey, point: float, draws: npt.NDArray[np.float64], domains: Sequence[JudgedImages]
) -> Interval | None:
    has_groups = domains[0].groups is not None
    if key.name == ACCURACY and not has_groups:
        return accuracy_interval(_accuracies(domains))
    if not np.isfinite(draws).all() or any(each.units() < 2 for each in domains):
        return None
    low, high = np.quantile(draws, TAILS).tolist()
    if draws.min() == draws.max():
        samples = {ACCURACY: _accuracies, BALANCED: _recalls}
        return accuracy_interval(samples[key.name](domains)) if key.name in samples else None
    if key.is_of_probabilities:
        low, high = 2 * point - high, 2 * point - low
    return Interval(max(0.0, low), min(1.0, max(0.0, high)))


def _accuracies(domains: Sequence[JudgedImages]) -> list[Sample]:
    """Return the accuracy on each domain."""
    rights = (each.guesses.judged().is_right for each in domains)
    return [
        Sample(float(is_right.double().mean()), each.units())
        for each, is_right in zip(domains, rights, strict=True)
    ]


def _recalls(domains: Sequence[JudgedImages]) -> list[Sample]:
    """Return the accuracy on each class of each domain."""
    samples = []
    for each in domains:
        is_right = each.guesses.judged().is_right
        for label in each.guesses.labels.unique():
            of_class = each.guesses.labels == label
            recall = float(is_right[of_class].double().mean())
            samples.append(Sample(recall, each.units(of_class)))
    return samples
