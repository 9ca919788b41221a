"""Misclassified images of a run: those that are stored, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.protocol import DomainPredictions, Predictions


@dataclass(frozen=True)
class Mistake:
    """A stored misclassified image.

    ``confidence`` is the probability of the class ``predicted``. Runs of earlier versions have no
    ``name`` (path in the data set), ``index`` in the domain and ``second`` most probable class.
    ``picture`` is a small WebP image, or empty.
    """

    domain: str
    split: str
    label: int
    predicted: int
    confidence: float
    picture: bytes
    name: str = ""
    index: int | None = None
    second: int | None = None
    second_confidence: float = 0.0


class Mistakes(NamedTuple):
    """Misclassified images of one or several splits.

    Attributes:
        about: name of the domain, or what they are.
        stored: the stored ones, most confident first.
        total: number of all.
        images: number of images.
    """

    about: str
    stored: tuple[Mistake, ...]
    total: int
    images: int


class ConfusionCell(NamedTuple):
    """The images of a class of one split that were predicted as another class."""

    domain: str
    split: str
    label: int
    predicted: int


def mistakes_by_domain(predictions: Predictions) -> list[Mistakes]:
    """Return the mistakes on the target, or on all sources without one, then by other domain."""
    named: dict[str, list[DomainPredictions]] = {}
    for each in predictions.domains:
        named.setdefault(each.domain, []).append(each)
    first = [each for each in predictions.domains if _is_in_wrong(predictions, each)]
    about = "target" if predictions.has_target else "validation"
    found = [_mistakes_on(predictions, about, first)]
    if any(each.each_image is not None or each.mistakes for each in predictions.domains):
        others = [splits for splits in named.values() if not splits[0].is_target]
        if len(others) > (not predictions.has_target):
            found += [_mistakes_on(predictions, each[0].domain, each) for each in others]
    return found


def mistakes_in(predictions: Predictions, cell: ConfusionCell) -> Mistakes:
    """Return the mistakes of one cell of a confusion matrix."""
    domains = [
        each
        for each in predictions.domains
        if (each.domain, each.split) == (cell.domain, cell.split)
    ]
    pair = cell.label, cell.predicted
    stored = [mistake for each in domains for mistake in _stored(predictions, each)]
    if not stored and any(each.is_target for each in domains):
        stored = _of_earlier_version(predictions)
        domains = [each for each in predictions.domains if each.is_target]
    found = [each for each in stored if (each.label, each.predicted) == pair]
    counts = (c.images for d in domains for c in d.confusions if (c.label, c.predicted) == pair)
    of_class = (c.images for d in domains for c in d.confusions if c.label == cell.label)
    return Mistakes(cell.domain, tuple(found), sum(counts), sum(of_class))


def _mistakes_on(
    predictions: Predictions, about: str, domains: Sequence[DomainPredictions]
) -> Mistakes:
    stored = [mistake for each in domains for mistake in _stored(predictions, each)]
    if not stored and all(not each.mistakes for each in domains):  # of an earlier version
        stored = _of_earlier_version(predictions)
    stored.sort(key=lambda each: -each.confidence)
    total = sum(each.wrong_images for each in domains)
    return Mistakes(about, tuple(stored), total, sum(each.images for each in domains))


def _of_earlier_version(predictions: Predictions) -> list[Mistake]:
    """Return what earlier versions stored: images of an unknown split of the target."""
    return [
        Mistake("", "", each.label, each.predicted, each.confidence, each.picture)
        for each in predictions.wrong
        if each.index is None
    ]


def _stored(predictions: Predictions, domain: DomainPredictions) -> list[Mistake]:
    """Return the stored mistakes of a split, with their pictures."""
    pictures = {(w.domain, w.split, w.index): w.picture for w in predictions.wrong}
    place = domain.domain, domain.split
    return [
        Mistake(
            *place,
            each.label,
            each.predicted,
            each.confidence,
            each.picture or pictures.get((*place, each.index), b""),
            each.name,
            each.index,
            each.second,
            each.second_confidence,
        )
        for each in domain.mistakes
    ]


def _is_in_wrong(predictions: Predictions, domain: DomainPredictions) -> bool:
    """Return whether mistakes of a split are those of ``Predictions.wrong``."""
    if predictions.has_target:
        return domain.is_target
    return domain.split == "out" and not any(
        each.domain == domain.domain and each.split == "in" for each in predictions.domains
    )
