"""Predictions of every evaluation of a run on held-out images: the file ``predictions.bin``.

It contains the images once, then the predictions of one evaluation after the other. Nothing is
selected on it. :mod:`engine.rundir.step_predictions` reads and writes the file.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from engine.protocol.predictions import Count, ImagePredictions, Index, PredictionsError

MOST_STEP_PREDICTION_BYTES: Final = 32 * 2**20
"""Maximum size of the file."""
MOST_IMAGE_BYTES: Final = 512 * 2**20
"""Maximum size of the description of the images, unpacked."""
CERTAIN: Final = 2**16 - 1
"""How a confidence of 1 is stored."""


class EvaluatedSplit(msgspec.Struct, frozen=True, array_like=True):
    """The images of a split of a domain; fields as in :class:`ImagePredictions`.

    ``names`` are the paths of the split's images in the data set, by number of the image.
    """

    domain: str
    split: str
    is_target: bool
    digest: str
    images: Count
    members: bytes
    labels: bytes
    names: tuple[str, ...]

    def with_predicted(self, predicted: bytes) -> ImagePredictions:
        """Return the predictions on these images, given the predicted class of each."""
        return ImagePredictions(self.digest, self.images, self.members, self.labels, predicted)


class EvaluatedImages(msgspec.Struct, frozen=True, array_like=True):
    """The images of every evaluation of a run, and the names of the classes."""

    classes: tuple[str, ...]
    splits: tuple[EvaluatedSplit, ...]

    def problem(self) -> str | None:
        """Return why this cannot be right, or None."""
        for each in self.splits:
            if (problem := each.with_predicted(each.labels).problem(len(self.classes))) is not None:
                return f"images of {each.domain}: {problem}"
            if len(each.names) != int.from_bytes(each.members, "big").bit_count():
                return f"images of {each.domain}: {len(each.names)} names"
        return None


class SplitPredictions(msgspec.Struct, frozen=True, array_like=True):
    """The predictions of an evaluation on the images of a split, by number of the image.

    ``predicted`` are classes as in :class:`ImagePredictions`, ``confidences`` their probabilities:
    two bytes each, the lower one first, in units of 1 / 65,535. ``loss`` is in nats, None if not
    finite.
    """

    loss: float | None
    predicted: bytes
    confidences: bytes


class StepPredictions(msgspec.Struct, frozen=True, array_like=True):
    """The predictions after ``step`` updates on each split of :class:`EvaluatedImages`."""

    step: Index
    splits: tuple[SplitPredictions, ...]

    def problem(self, images: EvaluatedImages) -> str | None:
        """Return why these cannot be predictions on these images, or None."""
        if len(self.splits) != len(images.splits):
            return f"{len(self.splits)} of {len(images.splits)} splits"
        for split, each in zip(images.splits, self.splits, strict=True):
            problem = split.with_predicted(each.predicted).problem(len(images.classes))
            if problem is None and len(each.confidences) != 2 * len(split.names):
                problem = f"{len(each.confidences)} bytes for the confidences"
            if problem is not None:
                return f"images of {split.domain}: {problem}"
        return None


def as_confidences(numbers: bytes) -> Sequence[float]:
    """Return the probabilities (0 to 1) of :class:`SplitPredictions`."""
    stored = array("H", numbers)
    if sys.byteorder == "big":
        stored.byteswap()
    return [each / CERTAIN for each in stored]


_images_decoder = msgspec.msgpack.Decoder(EvaluatedImages)
_step_decoder = msgspec.msgpack.Decoder(StepPredictions)


def encode_images(images: EvaluatedImages) -> bytes:
    """Return the images as compressed MessagePack."""
    return zlib.compress(msgspec.msgpack.encode(images), 1)


def decode_images(data: bytes) -> EvaluatedImages:
    """Read the images.

    Raises:
        PredictionsError: if the data is damaged.
    """
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, MOST_IMAGE_BYTES)
        images = _images_decoder.decode(content)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PredictionsError(str(error)) from None
    if (problem := images.problem()) is not None:
        raise PredictionsError(problem)
    return images


def encode_step(predictions: StepPredictions) -> bytes:
    """Return the predictions of an evaluation as MessagePack."""
    return msgspec.msgpack.encode(predictions)


def decode_step(data: bytes, images: EvaluatedImages) -> StepPredictions:
    """Read the predictions of an evaluation on these images.

    Raises:
        PredictionsError: if the data is damaged.
    """
    try:
        found = _step_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PredictionsError(str(error)) from None
    if (problem := found.problem(images)) is not None:
        raise PredictionsError(problem)
    return found
