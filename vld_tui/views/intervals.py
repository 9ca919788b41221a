"""95% intervals of one run's accuracies, from the numbers of images they were measured on.

They cover the sampling of images only. The spread between seeds is shown separately where runs
are grouped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Final, NamedTuple

from engine.protocol import AUGMENTED, ArmEvaluated, DataPrepared, DomainInfo, Evaluated
from engine.protocol.intervals import Interval, Sample, accuracy_interval
from vld_tui.runs.progress import Progress
from vld_tui.words.numbers import percent_range, plural

COVERED: Final = "they cover the sampling of images, not seeds or training"
_SAME: Final = 1e-6


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


def run_certainty(progress: Progress, evaluation: Evaluated | ArmEvaluated | None) -> RunCertainty:
    """Return the intervals of an evaluation."""
    if progress.data is None or evaluation is None:
        return RunCertainty()
    target = next((domain for domain in progress.data.domains if domain.is_target), None)
    on_target = []
    if target is not None and evaluation.ood_accuracy is not None:
        on_target = [Sample(evaluation.ood_accuracy, target.images_of("in"))]
    plain, of_id = evaluation.plain_id_accuracy, evaluation.id_accuracy
    on_sources = partial(_id_samples, progress.data, evaluation)
    if plain is None:
        return RunCertainty(_certainty(on_sources("out", of_id)), _certainty(on_target))
    return RunCertainty(
        _certainty(on_sources(AUGMENTED, of_id))._replace(noun="augmented image"),
        _certainty(on_target),
        _certainty(on_sources("out", plain)),
    )


def split_interval(info: DomainInfo | None, split: str, accuracy: float | None) -> Interval | None:
    """Return the interval of an accuracy on a split of a domain."""
    if info is None or accuracy is None:
        return None
    return accuracy_interval([Sample(accuracy, info.images_of(split))])


def interval_line(progress: Progress) -> str:
    """Return the intervals at the selected step in one line; empty if unknown."""
    return _told(
        progress,
        lambda of: f"{percent_range(of.interval)} from {plural(of.images, of.noun)}",
    )


def interval_note(progress: Progress) -> str:
    """Return the number of images behind the intervals at the selected step; empty if unknown."""
    return _told(progress, lambda of: f"from {plural(of.images, of.noun)}")


def interval_record(
    progress: Progress, evaluation: Evaluated | ArmEvaluated | None
) -> dict[str, Interval | None]:
    """Return the intervals of an evaluation for scripts."""
    of_run = run_certainty(progress, evaluation)
    return {
        "id_interval": of_run.id.interval,
        "plain_id_interval": of_run.plain_id.interval,
        "ood_interval": of_run.ood.interval,
    }


def _told(progress: Progress, show: Callable[[Certainty], str]) -> str:
    of_run = run_certainty(progress, progress.selected)
    told = [
        f"{name} {show(each)}"
        for name, each in (("ID", of_run.id), ("OOD", of_run.ood))
        if each.interval is not None
    ]
    return f"95% intervals: {', '.join(told)}; {COVERED}" if told else ""


def _certainty(samples: Sequence[Sample]) -> Certainty:
    return Certainty(accuracy_interval(samples), sum(sample.images for sample in samples))


def _id_samples(
    data: DataPrepared, evaluation: Evaluated | ArmEvaluated, split: str, mean: float | None
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
