"""How a run's selected network classifies held-out images: the file ``predictions.json``.

It is written anew whenever an evaluation is the best so far on ID validation. It is for looking
at: nothing is ever selected on it.
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
"""A larger file is not one that the engine wrote."""


class Confusion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many images of class ``label`` were called ``predicted``; both index the classes."""

    label: Index
    predicted: Index
    images: Count


class DomainPredictions(msgspec.Struct, frozen=True):
    """Predictions on one split of one domain; pairs of classes without images are left out.

    ``split`` is ``out`` (held-out validation share) or ``in`` (the rest). ``loss`` is in nats,
    None when not finite.
    """

    domain: str
    split: str
    is_target: bool
    loss: float | None
    confusions: tuple[Confusion, ...]


class WrongImage(msgspec.Struct, frozen=True):
    """An image of the target, or without one of a source's validation share, that was classified
    wrongly, with what the network gave its guess.

    ``picture`` is a small WebP image made from the pixels the network was shown.
    """

    label: Index
    predicted: Index
    confidence: Share
    picture: bytes


class Predictions(msgspec.Struct, frozen=True):
    """Predictions after ``step`` updates; ``wrong`` holds the most confident mistakes first."""

    step: Index
    classes: tuple[str, ...]
    domains: tuple[DomainPredictions, ...]
    wrong: tuple[WrongImage, ...]

    @property
    def has_target(self) -> bool:
        """Say whether a domain was left out of training for its accuracy."""
        return any(domain.is_target for domain in self.domains)


class PredictionsError(UserError):
    """A file that is not what the engine writes."""


_decoder = msgspec.json.Decoder(Predictions)


def encode_predictions(predictions: Predictions) -> bytes:
    """Return the predictions as JSON, pictures in base64."""
    return msgspec.json.encode(predictions)


def decode_predictions(data: bytes) -> Predictions:
    """Read predictions.

    Raises:
        PredictionsError: when they are torn, garbled, or name a class that there is not.
    """
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PredictionsError(str(error)) from None
    if max(_highest_classes(found), default=-1) >= len(found.classes):
        raise PredictionsError(f"it names a class beyond its {len(found.classes)}")
    return found


def _highest_classes(predictions: Predictions) -> Iterator[int]:
    """Yield the highest class that each part of the predictions names."""
    for domain in predictions.domains:
        yield max((each.label for each in domain.confusions), default=-1)
        yield max((each.predicted for each in domain.confusions), default=-1)
    for wrong in predictions.wrong:
        yield max(wrong.label, wrong.predicted)
