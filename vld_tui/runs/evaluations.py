"""Evaluations of a run on other data: results by class, and records for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.protocol import Confusion
from engine.protocol.data_evaluations import DataEvaluation, MeasuredValue, Scores
from engine.protocol.intervals import Interval, Sample, accuracy_interval
from engine.protocol.measures import ACCURACY

Record = dict[str, Any]
MEAN: Final = "mean"
POOLED: Final = "all images"
"""Rows of results on more than one domain."""
_COUNTED: Final = ("domains", "pooled", "mean", "classes")
"""Fields of an evaluation that its record has in another form."""


class ClassResult(NamedTuple):
    """The images of a class, those of them that were predicted as it, and all that were."""

    name: str
    images: int
    right: int
    predicted: int

    @property
    def recall(self) -> float | None:
        """Return the fraction of its images classified correctly; None without images."""
        return self.right / self.images if self.images else None

    @property
    def interval(self) -> Interval | None:
        """Return the 95% interval of the recall."""
        return accuracy_interval([Sample(self.recall or 0.0, self.images)])

    @property
    def precision(self) -> float | None:
        """Return the fraction of the predictions of the class that are correct."""
        return self.right / self.predicted if self.predicted else None

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of recall and precision; None without images."""
        return 2 * self.right / (self.images + self.predicted) if self.images else None


def class_results(confusions: Iterable[Confusion], classes: Sequence[str]) -> list[ClassResult]:
    """Return the results of each class, in the order of ``classes``."""
    images, right, predicted = ([0] * len(classes) for _ in range(3))
    for each in confusions:
        images[each.label] += each.images
        predicted[each.predicted] += each.images
        right[each.label] += each.images * (each.label == each.predicted)
    return [ClassResult(*each) for each in zip(classes, images, right, predicted, strict=True)]


def pooled_confusions(evaluation: DataEvaluation) -> tuple[Confusion, ...]:
    """Return the confusions on all images."""
    counts: dict[tuple[int, int], int] = {}
    for domain in evaluation.domains:
        for each in domain.confusions:
            pair = (each.label, each.predicted)
            counts[pair] = counts.get(pair, 0) + each.images
    return tuple(Confusion(*pair, images) for pair, images in sorted(counts.items()))


def evaluation_record(evaluation: DataEvaluation) -> Record:
    """Return an evaluation for scripts, with classes by name."""
    fields = {
        name: msgspec.to_builtins(getattr(evaluation, name))
        for name in evaluation.__struct_fields__
        if name not in _COUNTED
    }
    classes = evaluation.classes
    return {
        **fields,
        "is_test": evaluation.is_test,
        "known": evaluation.known,
        "classes": list(classes),
        "absent_classes": list(evaluation.absent),
        **_scores_record(evaluation.overall),
        "domains": [
            {
                "domain": each.domain,
                **_scores_record(each.scores),
                "known": each.known,
                **_classes_record(each.confusions, classes),
            }
            for each in evaluation.domains
        ],
        "mean": None if evaluation.mean is None else _scores_record(evaluation.mean),
        "pooled": {
            **_scores_record(evaluation.pooled),
            **_classes_record(pooled_confusions(evaluation), classes),
        },
    }


def evaluation_rows(evaluation: DataEvaluation) -> Iterator[Record]:
    """Yield rows for a table: each domain, the mean over domains, all images; then their classes.

    ``class`` is empty in rows of all classes.
    """
    own = {"evaluation": evaluation.name, "dataset": evaluation.dataset}
    domains = evaluation.domains
    for each in domains:
        yield {**own, "domain": each.domain, "class": "", **_flat(each.scores)}
    if evaluation.mean is not None:
        yield {**own, "domain": MEAN, "class": "", **_flat(evaluation.mean)}
        yield {**own, "domain": POOLED, "class": "", **_flat(evaluation.pooled)}
    tables = [(each.domain, each.confusions) for each in domains]
    if evaluation.mean is not None:
        tables.append((POOLED, pooled_confusions(evaluation)))
    for domain, confusions in tables:
        for result in class_results(confusions, evaluation.classes):
            low, high = result.interval or (None, None)
            figures = {
                "images": result.images,
                "recall": result.recall,
                "recall_low": low,
                "recall_high": high,
                # Its former name, in columns that the rows of all classes have too.
                "accuracy": result.recall,
                "accuracy_low": low,
                "accuracy_high": high,
                "precision": result.precision,
                "f1": result.f1,
            }
            yield {**own, "domain": domain, "class": result.name, **figures}


def _classes_record(confusions: Sequence[Confusion], classes: Sequence[str]) -> Record:
    return {
        "classes": [
            {
                "class": each.name,
                "images": each.images,
                "recall": each.recall,
                "recall_interval": each.interval,
                "accuracy": each.recall,  # its former name
                "accuracy_interval": each.interval,
                "precision": each.precision,
                "f1": each.f1,
            }
            for each in class_results(confusions, classes)
        ],
        "confusions": [
            {
                "class": classes[each.label],
                "predicted": classes[each.predicted],
                "images": each.images,
            }
            for each in confusions
        ],
    }


def _scores_record(scores: Scores) -> Record:
    record: Record = {"images": scores.images, "groups": scores.groups}
    for name, (value, interval) in _measured(scores):
        record |= {name: value, f"{name}_interval": interval}
    return record | {"loss": scores.loss, "calibrated_loss": scores.calibrated_loss}


def _flat(scores: Scores) -> Record:
    """Return results as columns, with the ends of intervals."""
    record: Record = {"images": scores.images}
    for name, (value, interval) in _measured(scores):
        low, high = interval or (None, None)
        record |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return record | {"loss": scores.loss, "calibrated_loss": scores.calibrated_loss}


def _measured(scores: Scores) -> Iterator[tuple[str, MeasuredValue]]:
    yield ACCURACY, scores.accuracy
    yield from scores.measures.items()
    yield from ((f"calibrated_{name}", value) for name, value in scores.calibrated.items())
