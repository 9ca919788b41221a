"""The training images that are nearest to each image that a run misclassifies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

from engine.diagnose.found import Found, finding
from engine.diagnose.nearest import Distances, nearest_rows
from engine.diagnose.run_features import RunFeatures, SplitFeatures
from engine.errors import InputError
from engine.evaluate.measures import MOST_MISTAKES
from engine.protocol.diagnostics import Cell, Finding, FindingTable, Settings
from engine.protocol.neighbours import NEIGHBOUR_COLUMNS, NEIGHBOURS

NONE_WRONG: Final = "No image is misclassified."


class _Training(NamedTuple):
    """The n training images of all sources: features (n, D), rows in the data set and labels."""

    features: Tensor
    rows: Tensor
    labels: Tensor


def neighbours(run: RunFeatures, settings: Settings) -> Found:
    """Find the training images nearest to each mistake, by the cosine distance of features.

    The features are the penultimate ones of the run's network. Mistakes are those on validation
    images of the sources and on the target, at most ``MOST_MISTAKES`` of a split, the most
    confident ones.

    Raises:
        InputError: if features are not finite, or an image's are all zero.
    """
    sources = run.sources("in")
    training = _Training(
        torch.cat([each.features for each in sources]),
        torch.cat([each.rows for each in sources]),
        torch.cat([each.labels for each in sources]),
    )
    if not len(training.rows):
        raise InputError("The run has no training images.")
    rows: list[tuple[Cell, ...]] = []
    findings = []
    for split in run.splits:
        wrong = _mistakes(split)
        if (split.split == "in" and not split.is_target) or not len(wrong):
            continue
        nearest = nearest_rows(split.features[wrong], training.features, int(settings["images"]))
        labels = training.labels[nearest.rows[:, 0]]
        findings.append(
            Finding(
                split.domain, split.split, "mistakes", float(len(wrong)),
                images=len(split.labels), unit="number",
            )
        )  # fmt: skip
        for name, expected in (("predicted", split.logits.argmax(dim=1)), ("true", split.labels)):
            share = float((labels == expected[wrong]).double().mean())
            findings.append(finding(split, f"nearest_is_{name}", share))
        rows += _rows(run, split, wrong, training, nearest)
    table = FindingTable(
        "Nearest training images of each mistake", NEIGHBOUR_COLUMNS, tuple(rows), is_listed=False
    )
    return Found(
        findings=tuple(findings),
        tables={NEIGHBOURS: table},
        notes=() if rows else (NONE_WRONG,),
    )


def _mistakes(split: SplitFeatures) -> Tensor:
    """Return the places of the misclassified images of a split, the most confident first."""
    shares, predicted = split.logits.double().softmax(dim=1).max(dim=1)
    wrong = (predicted != split.labels).nonzero()[:, 0]
    return wrong[shares[wrong].argsort(descending=True, stable=True)[:MOST_MISTAKES]]


def _rows(
    run: RunFeatures, split: SplitFeatures, wrong: Tensor, training: _Training, nearest: Distances
) -> Iterator[tuple[Cell, ...]]:
    for at, distances, others in zip(
        wrong.tolist(), nearest.values.tolist(), nearest.rows.tolist(), strict=True
    ):
        name = run.paths[int(split.rows[at])]
        for distance, other in zip(distances, others, strict=True):
            class_name = run.classes[int(training.labels[other])]
            yield name, run.paths[int(training.rows[other])], class_name, distance
