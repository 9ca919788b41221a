"""Predictions of a run, made of what it predicts on each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from engine.protocol import (
    Confusion,
    DomainPredictions,
    ImagePredictions,
    KeptMistake,
    Predictions,
    WrongImage,
)
from engine.protocol.step_predictions import (
    EvaluatedImages,
    EvaluatedSplit,
    SplitPredictions,
    StepPredictions,
)
from engine.rundir.step_predictions import StepPredictionsWriter

CLASSES = ("cat", "dog")
LABELS = (0, 0, 0, 0, 0, 1, 1, 1, 1, 1)


def predicted_domain(
    name: str,
    split: str,
    labels: Sequence[int],
    predicted: Mapping[int, int],
    *,
    is_target: bool = False,
    digest: str = "same",
    is_earlier: bool = False,
) -> DomainPredictions:
    """Return the predictions on some images of a domain, by number."""
    members = sorted(predicted)
    bits = "".join(str(int(at in predicted)) for at in range(len(labels)))
    count = -(-len(labels) // 8)
    each_image = ImagePredictions(
        digest,
        len(labels),
        int(bits.ljust(8 * count, "0"), 2).to_bytes(count, "big"),
        bytes(labels[at] for at in members),
        bytes(predicted[at] for at in members),
    )
    pairs = Counter((labels[at], predicted[at]) for at in members)
    wrong = [at for at in members if labels[at] != predicted[at]]
    mistakes = tuple(
        KeptMistake(
            at, labels[at], predicted[at], 0.9 - at / 100, labels[at], 0.1, f"{name}/{at}.png"
        )
        for at in wrong
    )
    return DomainPredictions(
        name,
        split,
        is_target,
        0.5,
        tuple(Confusion(*pair, images) for pair, images in sorted(pairs.items())),
        () if is_earlier else mistakes,
        None if is_earlier else each_image,
    )


def predictions_with(
    wrong: Collection[int], *, picture: bytes = b"", is_earlier: bool = False, digest: str = "same"
) -> Predictions:
    """Return the predictions of a run on ten images of a target, some of them wrong."""
    guesses = {at: 1 - label if at in wrong else label for at, label in enumerate(LABELS)}
    splits = [("in", range(8)), ("out", range(8, 10))]
    domains = tuple(
        predicted_domain(
            "sketch",
            split,
            LABELS,
            {at: guesses[at] for at in members},
            is_target=True,
            digest=digest,
            is_earlier=is_earlier,
        )
        for split, members in splits
    )
    source = predicted_domain("photo", "out", (0, 1, 0, 1), {1: 1, 2: 1}, is_earlier=is_earlier)
    pictured = tuple(
        WrongImage(LABELS[at], 1 - LABELS[at], 0.9 - at / 100, picture)
        if is_earlier
        else WrongImage(
            LABELS[at], 1 - LABELS[at], 0.9 - at / 100, picture, "sketch",
            "in" if at < 8 else "out", at, f"sketch/{at}.png",
        )
        for at in sorted(wrong)
    )  # fmt: skip
    return Predictions(100, CLASSES, (*domains, source), pictured)


def keep_steps(path: Path, wrong: Mapping[int, Collection[int]]) -> None:
    """Write the predictions of a run on ten images of a target at steps, some of them wrong."""
    for step, images in wrong.items():
        described, kept = [], []
        for each in predictions_with(images).domains:
            of = each.each_image
            assert of is not None
            numbers = of.numbers()
            names = tuple(f"{each.domain}/{at}.png" for at in numbers)
            described.append(
                EvaluatedSplit(
                    each.domain, each.split, each.is_target,
                    of.digest, of.images, of.members, of.labels, names,
                )
            )  # fmt: skip
            confidences = b"".join((60_000 - at).to_bytes(2, "little") for at in numbers)
            kept.append(SplitPredictions(0.25, of.predicted, confidences))
        writer = StepPredictionsWriter(path, EvaluatedImages(CLASSES, tuple(described)))
        writer.add(StepPredictions(step, tuple(kept)))
