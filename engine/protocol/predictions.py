"""Predictions of a run's selected network on held-out images: the file ``predictions.json``.

The engine rewrites it whenever an evaluation is the best so far on ID validation. Nothing is
selected on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.errors import UserError

Index = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]

MOST_PREDICTION_BYTES = 64 * 2**20
"""Maximum size of a file that the engine writes."""


class Confusion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Number of images of class ``label`` predicted as ``predicted``; both index the classes."""

    label: Index
    predicted: Index
    images: Count


class DomainPredictions(msgspec.Struct, frozen=True):
    """Predictions on one split of one domain; pairs of classes without images are omitted.

    ``split`` is ``out`` (validation images) or ``in`` (the rest). ``loss`` is in nats, None if not
    finite.
    """

    domain: str
    split: str
    is_target: bool
    loss: float | None
    confusions: tuple[Confusion, ...]

    @property
    def images(self) -> int:
        """Return the number of images."""
        return sum(each.images for each in self.confusions)

    @property
    def accuracy(self) -> float | None:
        """Return the share of images that are classified correctly; None without images."""
        right = sum(each.images for each in self.confusions if each.label == each.predicted)
        return right / self.images if self.images else None


class WrongImage(msgspec.Struct, frozen=True):
    """A misclassified image of the target (without a target: of a source's validation images).

    ``confidence`` is the probability of the predicted class; ``picture`` is a small WebP image of
    the network's input.
    """

    label: Index
    predicted: Index
    confidence: Share
    picture: bytes


class Predictions(msgspec.Struct, frozen=True):
    """Predictions after ``step`` updates; ``wrong`` lists the most confident mistakes first."""

    step: Index
    classes: tuple[str, ...]
    domains: tuple[DomainPredictions, ...]
    wrong: tuple[WrongImage, ...]

    @property
    def has_target(self) -> bool:
        """Return whether a domain is the target."""
        return any(domain.is_target for domain in self.domains)


class PredictionsError(UserError):
    """An invalid predictions file."""


_decoder = msgspec.json.Decoder(Predictions)


def encode_predictions(predictions: Predictions) -> bytes:
    """Return the predictions as JSON, pictures in base64."""
    return msgspec.json.encode(predictions)


def decode_predictions(data: bytes) -> Predictions:
    """Read predictions.

    Raises:
        PredictionsError: if the data is damaged or refers to a class that does not exist.
    """
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PredictionsError(str(error)) from None
    if max(_highest_classes(found), default=-1) >= len(found.classes):
        raise PredictionsError(f"class index out of range for {len(found.classes)} classes")
    return found


def _highest_classes(predictions: Predictions) -> Iterator[int]:
    for domain in predictions.domains:
        yield max((each.label for each in domain.confusions), default=-1)
        yield max((each.predicted for each in domain.confusions), default=-1)
    for wrong in predictions.wrong:
        yield max(wrong.label, wrong.predicted)
