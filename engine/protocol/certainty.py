"""The intervals of an evaluation's ID and OOD accuracy, from the images behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Final, NamedTuple

from engine.protocol.events import AUGMENTED, ArmEvaluated, DataPrepared, Evaluated
from engine.protocol.intervals import Interval, Sample, accuracy_interval

_SAME: Final = 1e-6

Judged = Evaluated | ArmEvaluated
"""An evaluation of a run's own network or of an arm."""


class Certainty(NamedTuple):
    """The interval of an accuracy, and the number of images behind it.

    None: the accuracy or a number of images is unknown.
    """

    interval: Interval | None = None
    images: int = 0
    noun: str = "image"


class RunCertainty(NamedTuple):
    """Intervals of ID and OOD accuracy, and of ID on plain images if ID is on augmented ones."""

    id: Certainty = Certainty()
    ood: Certainty = Certainty()
    plain_id: Certainty = Certainty()


def certainty_of(data: DataPrepared | None, evaluation: Judged | None) -> RunCertainty:
    """Return the intervals of an evaluation."""
    if data is None or evaluation is None:
        return RunCertainty()
    target = next((domain for domain in data.domains if domain.is_target), None)
    on_target = []
    if target is not None and evaluation.ood_accuracy is not None:
        on_target = [Sample(evaluation.ood_accuracy, target.images_of("in"))]
    plain, of_id = evaluation.plain_id_accuracy, evaluation.id_accuracy
    on_sources = partial(_id_samples, data, evaluation)
    if plain is None:
        return RunCertainty(_certainty(on_sources("out", of_id)), _certainty(on_target))
    return RunCertainty(
        _certainty(on_sources(AUGMENTED, of_id))._replace(noun="augmented image"),
        _certainty(on_target),
        _certainty(on_sources("out", plain)),
    )


def _certainty(samples: Sequence[Sample]) -> Certainty:
    return Certainty(accuracy_interval(samples), sum(sample.images for sample in samples))


def _id_samples(
    data: DataPrepared, evaluation: Judged, split: str, mean: float | None
) -> list[Sample]:
    """Return the sources' accuracies on a split, whose mean is ``mean``; empty if unknown."""
    known = {
        metric.domain: metric.value
        for metric in evaluation.metrics
        if (metric.name, metric.split) == ("accuracy", split)
    }
    samples = [
        Sample(accuracy, source.images_of(split))
        for source in data.sources
        if (accuracy := known.get(source.name)) is not None
    ]
    if mean is None or not samples or len(samples) < len(data.sources):
        return []
    found = fmean(sample.accuracy for sample in samples)
    return samples if math.isclose(found, mean, abs_tol=_SAME) else []
