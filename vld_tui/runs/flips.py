"""Images on which two runs differ: right in one, wrong in the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.protocol import DomainPredictions, Predictions, UserError, as_classes
from vld_tui.runs.evaluations import class_results
from vld_tui.runs.mistakes import Mistake, mistakes_by_domain

Kind = Literal["first", "second", "both"]
"""Which of the two runs misclassifies an image."""
KINDS: Final[tuple[Kind, ...]] = ("first", "second", "both")


class FlipsError(UserError):
    """Predictions of two runs that cannot be compared; ``domains`` are those of both."""

    def __init__(self, message: str, domains: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.domains = tuple(domains)


@dataclass(frozen=True)
class ClassFlips:
    """Mistakes of two runs on the images of a class, or of all classes.

    ``both_wrong`` is the number of images that both misclassify; None: not known.
    """

    name: str
    images: int
    wrong: tuple[int, int]
    both_wrong: int | None

    @property
    def first_wrong(self) -> int | None:
        """Return the number of images that only the first run misclassifies."""
        return None if self.both_wrong is None else self.wrong[0] - self.both_wrong

    @property
    def second_wrong(self) -> int | None:
        """Return the number of images that only the second run misclassifies."""
        return None if self.both_wrong is None else self.wrong[1] - self.both_wrong

    @property
    def both_right(self) -> int | None:
        """Return the number of images that both classify correctly."""
        if self.both_wrong is None:
            return None
        return self.images - sum(self.wrong) + self.both_wrong


@dataclass(frozen=True)
class FlippedImage:
    """An image that at least one of two runs misclassifies.

    ``predicted`` are the classes, ``mistakes`` what the runs store of their mistakes: None if it is
    classified correctly, or not stored.
    """

    index: int
    label: int
    predicted: tuple[int, int]
    mistakes: tuple[Mistake | None, Mistake | None]

    @property
    def kind(self) -> Kind:
        """Return which of the runs misclassifies it."""
        if all(each != self.label for each in self.predicted):
            return "both"
        return "first" if self.predicted[0] != self.label else "second"

    @property
    def stored(self) -> Mistake | None:
        """Return what is stored of it, if possible with a picture."""
        known = [each for each in self.mistakes if each is not None]
        return max(known, key=lambda each: bool(each.picture), default=None)


@dataclass(frozen=True)
class Flips:
    """Mistakes of two runs on the same images of a domain.

    ``classes`` are those with images, ``images`` those that at least one run misclassifies, the
    most confident mistakes first. ``unknown`` is why it is not known which images the runs differ
    in; empty: it is known. ``names`` are those of all classes. ``domains`` are those of both runs,
    the target first.
    """

    domains: tuple[str, ...]
    domain: str
    is_target: bool
    names: tuple[str, ...]
    classes: tuple[ClassFlips, ...]
    images: tuple[FlippedImage, ...] = ()
    unknown: str = ""

    @property
    def total(self) -> ClassFlips:
        """Return the counts over all classes."""
        both = [each.both_wrong for each in self.classes]
        return ClassFlips(
            "all",
            sum(each.images for each in self.classes),
            (
                sum(each.wrong[0] for each in self.classes),
                sum(each.wrong[1] for each in self.classes),
            ),
            None if self.unknown else sum(each or 0 for each in both),
        )

    def of_kind(self, kind: Kind) -> tuple[FlippedImage, ...]:
        """Return the images of a kind."""
        return tuple(each for each in self.images if each.kind == kind)

    @property
    def p_value(self) -> float | None:
        """Return the p-value of the exact McNemar test; None: the counts are not known.

        The hypothesis is that either run is as likely to be the only one that misclassifies an
        image (McNemar, Psychometrika 12, 1947). Images are treated as independent.
        """
        first, second = self.total.first_wrong, self.total.second_wrong
        if first is None or second is None:
            return None
        return exact_mcnemar(first, second)


def exact_mcnemar(first: int, second: int) -> float:
    """Return the two-sided p-value of a binomial test that two counts are equally likely."""
    count, fewer = first + second, min(first, second)
    logs = (
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        for k in range(fewer + 1)
    )
    return min(1.0, 2 * sum(math.exp(each - count * math.log(2)) for each in logs))


def compare_images(first: Predictions, second: Predictions, domain: str | None = None) -> Flips:
    """Compare two runs image by image.

    Args:
        first: predictions of a run.
        second: predictions of another run.
        domain: the images; None: the target of both.

    Raises:
        FlipsError: when the runs were not evaluated on the same images.
    """
    if first.classes != second.classes:
        raise FlipsError("The runs have different classes, so their mistakes cannot be compared.")
    common = _common_domains(first, second)
    try:
        return _compare_on(_chosen_domain(first, second, common, domain), first, second, common)
    except FlipsError as error:
        raise FlipsError(str(error), common) from None


def _compare_on(
    domain: str, first: Predictions, second: Predictions, common: tuple[str, ...]
) -> Flips:
    splits = [each for each in first.domains if each.domain == domain]
    other = [each for each in second.domains if each.domain == domain]
    is_target = splits[0].is_target and other[0].is_target
    ours, theirs = _by_image(splits, first), _by_image(other, second)
    if ours is None or theirs is None:
        counted = tuple(_counts_only(first.classes, domain, splits, other))
        return Flips(common, domain, is_target, first.classes, counted, unknown=_why(splits, other))
    if _digest(splits) != _digest(other):
        raise FlipsError(f"The images of {domain} have changed between the two runs.")
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise FlipsError(
            f"The runs have no evaluated image of {domain} in common: their splits differ."
        )
    return Flips(
        common,
        domain,
        is_target,
        first.classes,
        tuple(_count(first.classes, shared, ours, theirs)),
        tuple(_flipped(shared, ours, theirs, _stored(first, domain), _stored(second, domain))),
    )


def _common_domains(first: Predictions, second: Predictions) -> tuple[str, ...]:
    """Return the domains that both runs were evaluated on, the target of both first."""
    of_second = {each.domain: each.is_target for each in second.domains}
    found = {each.domain: each.is_target for each in first.domains if each.domain in of_second}
    return tuple(sorted(found, key=lambda each: not (found[each] and of_second[each])))


def _chosen_domain(
    first: Predictions, second: Predictions, common: tuple[str, ...], domain: str | None
) -> str:
    """Return the domain that was asked for, or else the target of both."""
    if domain is not None:
        if domain not in common:
            offered = f" Both have: {', '.join(common)}." if common else ""
            raise FlipsError(f"The runs were not both evaluated on {domain}.{offered}")
        return domain
    targets = [
        next((each.domain for each in one.domains if each.is_target), None)
        for one in (first, second)
    ]
    if targets[0] != targets[1]:
        named = " and ".join(each or "none" for each in targets)
        offered = f" Choose a domain of both: {', '.join(common)}." if common else ""
        raise FlipsError(f"The runs have different targets: {named}.{offered}")
    if targets[0] is not None:
        return targets[0]
    if not common:
        raise FlipsError("The runs were not evaluated on a common domain.")
    return common[0]


def _by_image(
    splits: list[DomainPredictions], predictions: Predictions
) -> dict[int, tuple[int, int]] | None:
    """Return label and prediction of each image by its number; None: they are not stored."""
    found: dict[int, tuple[int, int]] = {}
    for split in splits:
        if (each := split.each_image) is None:
            return None
        labels = as_classes(each.labels, len(predictions.classes))
        predicted = as_classes(each.predicted, len(predictions.classes))
        found.update(zip(each.numbers(), zip(labels, predicted, strict=True), strict=True))
    return found


def _digest(splits: list[DomainPredictions]) -> str:
    return "" if splits[0].each_image is None else splits[0].each_image.digest


def _count(
    names: tuple[str, ...],
    shared: list[int],
    ours: Mapping[int, tuple[int, int]],
    theirs: Mapping[int, tuple[int, int]],
) -> Iterator[ClassFlips]:
    """Yield the counts of the classes with images."""
    counts: dict[int, list[int]] = {}
    for index in shared:
        label, predicted = ours[index]
        count = counts.setdefault(label, [0, 0, 0, 0])
        wrong = predicted != label, theirs[index][1] != label
        for at, each in enumerate((True, *wrong, all(wrong))):
            count[at] += each
    for label, (images, first, second, both) in sorted(counts.items()):
        yield ClassFlips(names[label], images, (first, second), both)


def _flipped(
    shared: list[int],
    ours: Mapping[int, tuple[int, int]],
    theirs: Mapping[int, tuple[int, int]],
    first: Mapping[int, Mistake],
    second: Mapping[int, Mistake],
) -> list[FlippedImage]:
    """Return the images that a run misclassifies, those with the most confident mistakes first."""
    found = [
        FlippedImage(
            index, ours[index][0], (ours[index][1], theirs[index][1]),
            (first.get(index), second.get(index)),
        )
        for index in shared
        if ours[index][1] != ours[index][0] or theirs[index][1] != ours[index][0]
    ]  # fmt: skip

    def order(image: FlippedImage) -> tuple[bool, float]:
        confidences = [each.confidence for each in image.mistakes if each is not None]
        has_picture = image.stored is not None and bool(image.stored.picture)
        return not has_picture, -max(confidences, default=0.0)

    return sorted(found, key=order)


def _stored(predictions: Predictions, domain: str) -> dict[int, Mistake]:
    """Return the stored mistakes on a domain by the number of the image."""
    return {
        each.index: each
        for group in mistakes_by_domain(predictions)
        for each in group.stored
        if each.domain == domain and each.index is not None
    }


def _counts_only(
    names: tuple[str, ...],
    domain: str,
    splits: list[DomainPredictions],
    other: list[DomainPredictions],
) -> Iterator[ClassFlips]:
    """Yield the mistakes of each run by class, where the prediction on each image is unknown."""
    ours, theirs = (
        class_results((pair for each in one for pair in each.confusions), names)
        for one in (splits, other)
    )
    for first, second in zip(ours, theirs, strict=True):
        if first.images != second.images:
            raise FlipsError(f"The images of {domain} differ between the two runs.")
        if first.images:
            wrong = first.images - first.right, second.images - second.right
            yield ClassFlips(first.name, first.images, wrong, None)


def _why(splits: list[DomainPredictions], other: list[DomainPredictions]) -> str:
    """Return why it is not known on which images two runs differ."""
    which = [
        which
        for which, one in (("first", splits), ("second", other))
        if any(each.each_image is None for each in one)
    ]
    whose = "Both runs" if len(which) == 2 else f"The {which[0]} run"
    return (
        f"{whose} stored only the most confident mistakes (an earlier version): the numbers of "
        "mistakes are exact, but which images differ is unknown. Train again to compare images."
    )
