"""Evaluations of a run on other data, as an engine would report them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.protocol import Confusion
from engine.protocol.data_evaluations import DataEvaluation, DomainScores, MeasuredValue, Scores
from engine.protocol.intervals import Sample, accuracy_interval

EVALUATED_AT = 1_800_000_000.0


def make_evaluation(
    accuracies: Mapping[str, float] | None = None,
    classes: Sequence[str] = ("bird", "cat", "[b]dog\x1b"),
    **fields: Any,
) -> DataEvaluation:
    """Return an evaluation with these accuracies by domain: on 100 images of each but the last
    class, of which the rest is predicted as the next class."""
    domains = tuple(
        _domain(name, accuracy, classes) for name, accuracy in (accuracies or {"all": 0.8}).items()
    )
    every = [each.scores.accuracy.value or 0.0 for each in domains]
    overall = _scores(sum(every) / len(every), sum(each.scores.images for each in domains))
    given: dict[str, Any] = {
        "name": "photos", "dataset": "photos", "where": "/data/photos", "digest": "d",
        "evaluated_at": EVALUATED_AT, "arm": "dropout", "at": "best", "step": 150,
        "checkpoint": "c", "classes": tuple(classes), "domains": domains, "pooled": overall,
        "mean": overall if len(domains) > 1 else None, "temperature": 1.5,
    }  # fmt: skip
    return DataEvaluation(**given | fields)


def _domain(name: str, accuracy: float, classes: Sequence[str]) -> DomainScores:
    right = round(100 * accuracy)
    confusions = [
        Confusion(label, label + wrong, images)
        for label in range(len(classes) - 1)
        for wrong, images in ((0, right), (1, 100 - right))
        if images
    ]
    images = 100 * (len(classes) - 1)
    return DomainScores(domain=name, scores=_scores(accuracy, images), confusions=tuple(confusions))


def _scores(accuracy: float, images: int) -> Scores:
    found = MeasuredValue(accuracy, accuracy_interval([Sample(accuracy, images)]))
    return Scores(
        images=images,
        accuracy=found,
        measures={"balanced_accuracy": found, "calibration_error": MeasuredValue(0.1, None)},
        loss=0.7,
        calibrated={"calibration_error": MeasuredValue(0.05, None)},
        calibrated_loss=0.6,
    )
