"""Training images whose label may be wrong: request, answer and stored file of ``vld suspects``."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from engine.errors import UserError
from engine.protocol.inference import At

MOST_SUSPECTS_BYTES: Final = 64 * 2**20
"""Larger files are not read."""
FEWEST_LISTED: Final = 1000
"""Images that are listed, if there are as many, whether they are suspects or not."""
MOST_LISTED: Final = 10_000
"""Maximum number of images that are listed."""
MOST_TWINS: Final = 8
"""Maximum number of twins of an image."""
QUANTILE: Final = 0.2
"""Default quantile; docs/suspects.md shows what was measured at others."""
NEAR_DISTANCE: Final = 4
"""Default of the maximum number of differing hash bits of near duplicates."""
MOST_BITS: Final = 32
"""Maximum of the number of differing hash bits."""


class FindSuspects(msgspec.Struct, frozen=True, kw_only=True, tag="suspects"):
    """Rank a run's training images by their loss; the answer is :class:`Suspects`.

    Attributes:
        run_dir: folder of the run.
        quantile: an image is a suspect if its score reaches this quantile of the scores of wrong
            labels.
        near_distance: maximum number of differing bits of a 64-bit perceptual hash of near
            duplicates; 0: find only exact duplicates.
        device: where the networks compute.
        batch_size: images computed at a time.
        threads: CPU threads; None: one for each usable core.
    """

    run_dir: str
    quantile: Annotated[float, Meta(ge=0, le=1)] = QUANTILE
    near_distance: Annotated[int, Meta(ge=0, le=MOST_BITS)] = NEAR_DISTANCE
    device: str = "auto"
    batch_size: Annotated[int, Meta(ge=1)] = 64
    threads: Annotated[int, Meta(ge=1)] | None = None


class UsedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint whose losses are used; ``step``: None of a combination of networks."""

    at: At
    step: int | None
    digest: str


class Twin(msgspec.Struct, frozen=True):
    """Another image of the sources with the same content or a similar look.

    Attributes:
        path: in the data set.
        domain: of the image.
        class_name: its label.
        kind: ``identical`` content, ``copy`` (nearly identical, in the same domain) or ``similar``
            (in another domain).
    """

    path: str
    domain: str
    class_name: str
    kind: Literal["identical", "copy", "similar"]


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A training image and its label.

    Attributes:
        path: in the data set.
        domain: a source of the run.
        index: number of the image in its domain.
        class_name: the given label.
        label_probability: of the given label, at the first checkpoint.
        predicted: most probable class, at the first checkpoint.
        probability: of ``predicted``.
        loss: −log of the label's probability in nats, mean over the checkpoints.
        random_loss: the same of a label drawn at random, its expected value.
        score: ``loss`` minus ``random_loss``.
        is_suspect: the score reaches the threshold.
        twins: images of the sources that are the same or similar.
        picture: a small WebP or PNG file; empty: none.
    """

    path: str
    domain: str
    index: int
    class_name: str
    label_probability: float
    predicted: str
    probability: float
    loss: float
    random_loss: float
    score: float
    is_suspect: bool
    twins: tuple[Twin, ...] = ()
    picture: bytes = b""

    @property
    def conflicts(self) -> tuple[Twin, ...]:
        """Return the twins with another label."""
        return tuple(each for each in self.twins if each.class_name != self.class_name)


class Suspects(msgspec.Struct, frozen=True, kw_only=True):
    """A run's training images in order of suspicion.

    Attributes:
        dataset: name of the data set.
        where: its folder, archive or table.
        data_digest: changes with the names and sizes of the data set's images.
        made_at: Unix seconds.
        checkpoints: whose losses are used; probabilities are those of the first.
        quantile: as requested.
        threshold: score at the quantile.
        images: number of ranked training images.
        suspects: number of images that reach the threshold.
        listed: the images with the highest scores, highest first.
        classes: names, in the order of the logits.
        near_distance: as requested.
        device: where the networks computed.
    """

    dataset: str
    where: str
    data_digest: str
    made_at: float
    checkpoints: Annotated[tuple[UsedCheckpoint, ...], Meta(min_length=1)]
    quantile: float
    threshold: float
    images: int
    suspects: int
    listed: Annotated[tuple[Suspect, ...], Meta(min_length=1)]
    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    near_distance: int
    device: str = "cpu"


class SuspectsError(UserError):
    """Suspects that cannot be read or found; the message says what to do."""


_decoder = msgspec.json.Decoder(Suspects)


def encode_suspects(suspects: Suspects) -> bytes:
    """Return suspects as JSON."""
    return msgspec.json.encode(suspects)


def decode_suspects(data: bytes) -> Suspects:
    """Read suspects.

    Raises:
        SuspectsError: if the data is damaged.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SuspectsError(str(error)) from None
