"""Writing of ``predictions.json``: confusion matrices and misclassified images."""

from __future__ import annotations

import heapq
import io
import math
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image
from torch import Tensor

from engine.evaluate.domains import Measured
from engine.evaluate.measures import MOST_MISTAKES, Mistake
from engine.protocol import Confusion, DomainPredictions, Predictions, WrongImage
from engine.rundir import RunDir
from engine.text import log_lines

PICTURE_PX: Final = 96
"""Longest side of a picture."""
WEBP_QUALITY: Final = 80


def keep_predictions(
    run_dir: RunDir, step: int, measured: Sequence[Measured], classes: Sequence[str]
) -> None:
    """Write ``predictions.json``; a failure is only logged."""
    try:
        run_dir.write_predictions(describe_predictions(step, measured, classes))
    except OSError as error:
        print(log_lines(f"Could not write predictions.json: {error}"), file=sys.stderr)  # noqa: T201


def describe_predictions(
    step: int, measured: Sequence[Measured], classes: Sequence[str]
) -> Predictions:
    """Return the confusions of every domain and the most confident mistakes.

    Mistakes are the target's, or the sources' without a target. Pictures are made from the cached
    pixels, the network's input.
    """
    of_target = [each for each in measured if each.domain.is_target]
    mistakes = [
        (each, mistake)
        for each in of_target or measured
        if not each.domain.is_held_out
        for mistake in each.result.mistakes
    ]
    chosen = heapq.nlargest(MOST_MISTAKES, mistakes, key=lambda pair: pair[1].confidence)
    return Predictions(
        step=step,
        classes=tuple(classes),
        domains=tuple(_describe_domain(each) for each in measured),
        wrong=tuple(_describe_mistake(each, mistake) for each, mistake in chosen),
    )


def _describe_domain(measured: Measured) -> DomainPredictions:
    loss = measured.result.loss
    return DomainPredictions(
        domain=measured.domain.name,
        split=measured.split,
        is_target=measured.domain.is_target,
        loss=loss if math.isfinite(loss) else None,
        confusions=confusions_in(measured.result.confusion),
    )


def confusions_in(confusion: Tensor) -> tuple[Confusion, ...]:
    """Return the pairs of classes with images in a confusion matrix (C, C)."""
    pairs = confusion.nonzero()
    counts = confusion[pairs[:, 0], pairs[:, 1]]
    return tuple(
        Confusion(label, predicted, images)
        for (label, predicted), images in zip(pairs.tolist(), counts.tolist(), strict=True)
    )


def _describe_mistake(measured: Measured, mistake: Mistake) -> WrongImage:
    index = measured.indices[mistake.position]
    pixels = measured.domain.images(np.array([index]))[0].numpy()
    return WrongImage(mistake.label, mistake.predicted, mistake.confidence, _encode(pixels))


def _encode(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Return an image (S, S, 3) as a small WebP file."""
    image = Image.fromarray(pixels)
    image.thumbnail((PICTURE_PX, PICTURE_PX))
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=WEBP_QUALITY, method=0)
    return file.getvalue()
