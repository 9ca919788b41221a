"""Predictions of a run's selected network on held-out images: the file ``predictions.json``.

The engine rewrites it whenever an evaluation is the best so far on ID validation. Nothing is
selected on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class ImagePredictions(msgspec.Struct, frozen=True):
    """The prediction on each image of a split of a domain.

    The images of the domain are numbered from 0, in the order of their files, both splits together:
    runs with the same ``digest`` number the same images.

    Attributes:
        digest: changes with the names and sizes of the domain's images, and their order.
        images: number of the domain's images, both splits together.
        members: the images of this split: bit ``7 - i % 8`` of byte ``i // 8`` is image i.
        labels: class of each image of the split, by number: a byte each, or two with more than 256
            classes, the lower one first.
        predicted: predicted class of each, likewise.
    """

    digest: str
    images: Count
    members: bytes
    labels: bytes
    predicted: bytes

    def numbers(self) -> list[int]:
        """Return the numbers of the images of the split."""
        return [at for at in range(self.images) if self.members[at >> 3] >> (7 - (at & 7)) & 1]

    def problem(self, classes: int) -> str | None:
        """Return why this cannot be right for a number of classes, or None."""
        count = int.from_bytes(self.members, "big").bit_count()
        if len(self.members) != -(-self.images // 8):
            return f"{len(self.members)} bytes for {self.images} images"
        for numbers in (self.labels, self.predicted):
            if len(numbers) != count * class_bytes(classes):
                return f"{len(numbers)} bytes for the classes of {count} images"
            if max(as_classes(numbers, classes), default=-1) >= classes:
                return f"class index out of range for {classes} classes"
        return None


def class_bytes(classes: int) -> int:
    """Return the number of bytes of a class in :class:`ImagePredictions`."""
    return 1 if classes <= 256 else 2


def as_classes(numbers: bytes, classes: int) -> Sequence[int]:
    """Return classes of :class:`ImagePredictions`."""
    if class_bytes(classes) == 1:
        return numbers
    return [low + 256 * high for low, high in zip(numbers[::2], numbers[1::2], strict=True)]


class KeptMistake(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A misclassified image: its number in the domain and its file's path in the data set.

    ``second`` is the second most probable class; ``confidence`` and ``second_confidence`` are
    probabilities. ``picture`` is a small WebP image of the network's input; empty: not kept here.
    """

    index: Index
    label: Index
    predicted: Index
    confidence: Share
    second: Index | None
    second_confidence: Share
    name: str
    picture: bytes = b""


class DomainPredictions(msgspec.Struct, frozen=True):
    """Predictions on one split of one domain; pairs of classes without images are omitted.

    ``split`` is ``out`` (validation images) or ``in`` (the rest). ``loss`` is in nats, None if not
    finite. ``mistakes`` are the most confident ones, in this order; pictures of those of the target
    are in :class:`WrongImage`. Earlier versions kept neither them nor the prediction on
    ``each_image``.
    """

    domain: str
    split: str
    is_target: bool
    loss: float | None
    confusions: tuple[Confusion, ...]
    mistakes: tuple[KeptMistake, ...] = ()
    each_image: ImagePredictions | None = None

    @property
    def images(self) -> int:
        """Return the number of images."""
        return sum(each.images for each in self.confusions)

    @property
    def accuracy(self) -> float | None:
        """Return the share of images that are classified correctly; None without images."""
        return (self.images - self.wrong_images) / self.images if self.images else None

    @property
    def wrong_images(self) -> int:
        """Return the number of misclassified images."""
        return sum(each.images for each in self.confusions if each.label != each.predicted)


class WrongImage(msgspec.Struct, frozen=True):
    """A misclassified image of the target (without a target: of a source's validation images).

    ``confidence`` is the probability of the predicted class; ``picture`` is a small WebP image of
    the network's input. ``index`` is its number in ``domain``, None if it is not known, as in files
    of earlier versions.
    """

    label: Index
    predicted: Index
    confidence: Share
    picture: bytes
    domain: str = ""
    split: str = ""
    index: Index | None = None
    name: str = ""


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
    for domain in found.domains:
        each = domain.each_image
        if each is not None and (problem := each.problem(len(found.classes))) is not None:
            raise PredictionsError(f"images of {domain.domain}: {problem}")
    return found


def _highest_classes(predictions: Predictions) -> Iterator[int]:
    for domain in predictions.domains:
        yield max((each.label for each in domain.confusions), default=-1)
        yield max((each.predicted for each in domain.confusions), default=-1)
        for mistake in domain.mistakes:
            yield max(mistake.label, mistake.predicted, mistake.second or 0)
    for wrong in predictions.wrong:
        yield max(wrong.label, wrong.predicted)
