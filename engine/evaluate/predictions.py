"""Writing of ``predictions.json``: predictions by class and by image, misclassified images."""

from __future__ import annotations

import hashlib
import heapq
import io
import math
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from PIL import Image
from torch import Tensor

from engine.data import RunData
from engine.datasets.sources import ImageFile
from engine.evaluate.domains import Measured
from engine.evaluate.measures import Mistake
from engine.protocol import (
    Confusion,
    DomainPredictions,
    ImagePredictions,
    KeptMistake,
    Predictions,
    WrongImage,
    class_bytes,
)
from engine.rundir import RunDir
from engine.text import log_lines

PICTURE_PX: Final = 96
"""Longest side of a picture."""
WEBP_QUALITY: Final = 80
DIGITS: Final = 6
"""Decimals of the probabilities of mistakes."""
MOST_PICTURES: Final = 96
"""Maximum number of pictures of mistakes on the target."""
MOST_OTHER_PICTURES: Final = 12
"""Maximum number of pictures of mistakes on a split of another domain."""


def keep_predictions(
    run_dir: RunDir, step: int, measured: Sequence[Measured], data: RunData
) -> None:
    """Write ``predictions.json``; a failure is only logged."""
    _write(run_dir, describe_predictions(step, measured, data))


def keep_predictions_of_arm(
    run_dir: RunDir, arm: str, step: int, measured: Sequence[Measured], data: RunData
) -> None:
    """Write an arm's predictions on every image, without mistakes; a failure is only logged."""
    domains = tuple(_describe_domain(each, data.image_set.files, None) for each in measured)
    _write(run_dir, Predictions(step=step, classes=data.classes, domains=domains, wrong=()), arm)


def _write(run_dir: RunDir, predictions: Predictions, arm: str | None = None) -> None:
    try:
        run_dir.write_predictions(predictions, arm)
    except OSError as error:
        which = "" if arm is None else f" of arm {arm}"
        print(log_lines(f"Could not write the predictions{which}: {error}"), file=sys.stderr)  # noqa: T201


def describe_predictions(step: int, measured: Sequence[Measured], data: RunData) -> Predictions:
    """Return the predictions on every image, and the most confident mistakes of each split.

    Pictures are made from the cached pixels, the network's input: of the most confident mistakes on
    the target, or on the sources without a target, and of some of the others.
    """
    files = data.image_set.files
    of_target = [each for each in measured if each.domain.is_target]
    pictured = of_target or [each for each in measured if not each.domain.is_held_out]
    in_wrong = {id(each) for each in pictured}
    mistakes = [(each, mistake) for each in pictured for mistake in each.result.mistakes]
    chosen = heapq.nlargest(MOST_PICTURES, mistakes, key=lambda pair: pair[1].confidence)
    return Predictions(
        step=step,
        classes=data.classes,
        domains=tuple(
            _describe_domain(each, files, 0 if id(each) in in_wrong else MOST_OTHER_PICTURES)
            for each in measured
        ),
        wrong=tuple(_describe_mistake(each, mistake, files) for each, mistake in chosen),
    )


def _describe_domain(
    measured: Measured, files: Sequence[ImageFile], pictures: int | None
) -> DomainPredictions:
    """Return the predictions on a split, ``pictures`` mistakes with one; None: no mistakes."""
    loss = measured.result.loss
    mistakes = () if pictures is None else measured.result.mistakes
    return DomainPredictions(
        domain=measured.domain.name,
        split=measured.split,
        is_target=measured.domain.is_target,
        loss=loss if math.isfinite(loss) else None,
        confusions=confusions_in(measured.result.confusion),
        mistakes=tuple(
            KeptMistake(
                index=int(measured.indices[each.position]),
                label=each.label,
                predicted=each.predicted,
                confidence=round(each.confidence, DIGITS),
                second=each.second,
                second_confidence=round(each.second_confidence, DIGITS),
                name=_name(measured, each, files),
                picture=_picture(measured, each) if at < (pictures or 0) else b"",
            )
            for at, each in enumerate(mistakes)
        ),
        each_image=describe_images(measured, files),
    )


def describe_images(measured: Measured, files: Sequence[ImageFile]) -> ImagePredictions | None:
    """Return the prediction on each image; None if they were not kept or cannot be stored."""
    guesses, domain = measured.result.guesses, measured.domain
    if guesses is None or guesses.classes > 2**16:
        return None
    images = len(domain.rows)
    of_domain = [files[row] for row in domain.rows]
    named = msgspec.json.encode([(file.path, file.size) for file in of_domain])
    is_member = np.zeros(images, dtype=bool)
    is_member[measured.indices] = True
    by_number = np.argsort(measured.indices)
    kind = "u1" if class_bytes(guesses.classes) == 1 else "<u2"
    return ImagePredictions(
        digest=hashlib.sha256(named).hexdigest()[:32],
        images=images,
        members=np.packbits(is_member).tobytes(),
        labels=guesses.labels.numpy()[by_number].astype(kind).tobytes(),
        predicted=guesses.predicted.numpy()[by_number].astype(kind).tobytes(),
    )


def confusions_in(confusion: Tensor) -> tuple[Confusion, ...]:
    """Return the pairs of classes with images in a confusion matrix (C, C)."""
    pairs = confusion.nonzero()
    counts = confusion[pairs[:, 0], pairs[:, 1]]
    return tuple(
        Confusion(label, predicted, images)
        for (label, predicted), images in zip(pairs.tolist(), counts.tolist(), strict=True)
    )


def _describe_mistake(
    measured: Measured, mistake: Mistake, files: Sequence[ImageFile]
) -> WrongImage:
    return WrongImage(
        mistake.label,
        mistake.predicted,
        mistake.confidence,
        _picture(measured, mistake),
        domain=measured.domain.name,
        split=measured.split,
        index=int(measured.indices[mistake.position]),
        name=_name(measured, mistake, files),
    )


def _name(measured: Measured, mistake: Mistake, files: Sequence[ImageFile]) -> str:
    row = int(measured.domain.rows[measured.indices[mistake.position]])
    return files[row].path


def _picture(measured: Measured, mistake: Mistake) -> bytes:
    """Return a misclassified image as a small WebP file."""
    index = measured.indices[mistake.position]
    return encode_picture(measured.domain.images(np.array([index]))[0].numpy())


def encode_picture(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Return an image (S, S, 3) as a small WebP file."""
    image = Image.fromarray(pixels)
    image.thumbnail((PICTURE_PX, PICTURE_PX))
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=WEBP_QUALITY, method=0)
    return file.getvalue()
