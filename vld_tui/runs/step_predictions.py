"""Predictions of a run at each of its evaluations, in the form of those at the selected step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.protocol import (
    Confusion,
    DomainPredictions,
    ImagePredictions,
    KeptMistake,
    Predictions,
    as_classes,
)
from engine.protocol.step_predictions import (
    EvaluatedImages,
    EvaluatedSplit,
    SplitPredictions,
    as_confidences,
)
from engine.rundir.step_predictions import StepPredictionsFile

MOST_MISTAKES = 1_000
"""Maximum number of mistakes on a split, as at the selected step."""
Pictures = Mapping[tuple[str, str, int | None], bytes]
"""Stored pictures by domain, split and number of the image."""


@dataclass(frozen=True)
class PredictionSteps:
    """The steps of a run whose predictions are stored.

    ``stored`` are those of every evaluation, ``selected`` those at the selected step, with more
    about each mistake.
    """

    stored: StepPredictionsFile | None = None
    selected: Predictions | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the steps, ascending."""
        found = set(self.stored.blocks) if self.stored is not None else set()
        return tuple(sorted(found | ({self.selected.step} if self.selected is not None else set())))

    def read(self, step: int) -> Predictions:
        """Return the predictions after ``step`` updates, one of ``steps``; may block.

        Only the selected step has the second most probable classes. Mistakes have a picture if it
        is stored for the selected step.

        Raises:
            PredictionsError: if they cannot be read.
        """
        if self.selected is not None and step == self.selected.step:
            return self.selected
        if self.stored is None or step not in self.stored.blocks:
            raise LookupError(f"no predictions of step {step}")
        images = self.stored.read_images()
        splits = zip(images.splits, self.stored.read(step, images).splits, strict=True)
        pictures = _pictures(self.selected)
        domains = tuple(_as_domain(images, *pair, pictures) for pair in splits)
        return Predictions(step, images.classes, domains, ())


def _as_domain(
    images: EvaluatedImages, split: EvaluatedSplit, found: SplitPredictions, pictures: Pictures
) -> DomainPredictions:
    each_image = split.with_predicted(found.predicted)
    count = len(images.classes)
    labels, predicted = as_classes(split.labels, count), as_classes(found.predicted, count)
    pairs = Counter(zip(labels, predicted, strict=True))
    return DomainPredictions(
        split.domain, split.split, split.is_target, found.loss,
        tuple(Confusion(*pair, number) for pair, number in sorted(pairs.items())),
        tuple(_mistakes(split, each_image, labels, predicted, found.confidences, pictures)),
        each_image,
    )  # fmt: skip


def _mistakes(
    split: EvaluatedSplit, each_image: ImagePredictions, labels: Sequence[int],
    predicted: Sequence[int], confidences: bytes, pictures: Pictures,
) -> list[KeptMistake]:  # fmt: skip
    """Return the most confident mistakes, most confident first."""
    numbers, shares = each_image.numbers(), as_confidences(confidences)
    wrong = [at for at, label in enumerate(labels) if predicted[at] != label]
    wrong.sort(key=lambda at: -shares[at])
    return [
        KeptMistake(
            numbers[at], labels[at], predicted[at], shares[at], None, 0.0, split.names[at],
            pictures.get((split.domain, split.split, numbers[at]), b""),
        )
        for at in wrong[:MOST_MISTAKES]
    ]  # fmt: skip


def _pictures(selected: Predictions | None) -> Pictures:
    if selected is None:
        return {}
    found = {(each.domain, each.split, each.index): each.picture for each in selected.wrong}
    for domain in selected.domains:
        for each in domain.mistakes:
            if each.picture:
                found[domain.domain, domain.split, each.index] = each.picture
    return found
