"""Evaluations of a run's network on labelled images outside of the run.

They are files ``evaluations/NAME.json`` in the run's folder. Nothing is selected on them, and they
are never mixed with the run's own OOD accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from engine.errors import UserError
from engine.protocol.inference import At
from engine.protocol.intervals import Interval
from engine.protocol.predictions import Confusion, Count

RESAMPLES: Final = 1000
"""Bootstrap resamples of an evaluation."""
RESAMPLING_SEED: Final = 0
MOST_EVALUATION_BYTES: Final = 64 * 2**20
"""Maximum size of a file that is read."""

Role = Literal["training", "validation", "held-out source", "target"]
"""What a run did with an image of its own data; validation images selected its step."""
NOT_A_TEST: Final[tuple[Role, ...]] = ("training", "validation")
"""Roles of images on which a result is not a test."""


class MeasuredValue(NamedTuple):
    """A value from 0 to 1 and its 95% interval; None: not defined."""

    value: float | None
    interval: Interval | None


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Results on some images.

    Attributes:
        images: number of readable images.
        groups: number of groups that were resampled as wholes; None: the images have no groups.
        accuracy: fraction classified correctly.
        measures: by name, see ``MEASURES``; with uncalibrated probabilities.
        loss: mean cross-entropy in nats, uncalibrated; None: not finite.
        calibrated: measures of probabilities with the temperature of the evaluation; empty: it has
            none.
        calibrated_loss: the same for the loss.
    """

    images: int
    groups: int | None = None
    accuracy: MeasuredValue
    measures: dict[str, MeasuredValue]
    loss: float | None
    calibrated: dict[str, MeasuredValue] = {}
    calibrated_loss: float | None = None


class DomainScores(msgspec.Struct, frozen=True, kw_only=True):
    """Results on one domain.

    Attributes:
        domain: its name.
        scores: its results.
        confusions: pairs of classes with images; both index the run's classes.
        known: number of images that the run's own data has too, by what the run did with them.
    """

    domain: str
    scores: Scores
    confusions: tuple[Confusion, ...]
    known: dict[Role, Count] = {}


class DataEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A run's network evaluated on labelled images outside of the run.

    Attributes:
        name: of the evaluation, unique in the run.
        dataset: name of the data set.
        where: folder, archive or table.
        reading: a sentence on how folders were read; may be empty.
        digest: changes with the domains, labels, names and sizes of the evaluated images.
        evaluated_at: Unix seconds.
        arm: how the run predicted.
        at: step of the network, as asked for.
        step: number of updates of the network; None: it is a combination.
        checkpoint: digest of the checkpoints.
        classes: names of the run's classes, in the order of the logits.
        class_map: classes of the data with other names than the run's, see
            :class:`engine.protocol.inference.EvaluateRun`.
        left_out: number of images that ``class_map`` leaves out, by class of the data.
        domains: results by domain.
        pooled: results on all images, as if they were one domain.
        mean: the unweighted mean over domains; None: there is only one.
        temperature: logits are divided by it for calibrated probabilities; None: not calibrated.
        unreadable: reasons by path of unreadable images, which are not evaluated.
        known_problem: why the run's own data was not searched for the images; empty: it was.
        resamples: number of bootstrap resamples.
        seed: of the resampling.
        device: where the network computed.
    """

    name: str = ""
    dataset: str
    where: str
    reading: str = ""
    digest: str
    evaluated_at: float
    arm: str
    at: At
    step: int | None
    checkpoint: str
    classes: tuple[str, ...]
    class_map: dict[str, str] = {}
    left_out: dict[str, int] = {}
    domains: Annotated[tuple[DomainScores, ...], Meta(min_length=1)]
    pooled: Scores
    mean: Scores | None = None
    temperature: float | None = None
    unreadable: dict[str, str] = {}
    known_problem: str = ""
    resamples: int = RESAMPLES
    seed: int = RESAMPLING_SEED
    device: str = "cpu"

    @property
    def overall(self) -> Scores:
        """Return the mean over domains, or the results on the only one."""
        return self.mean or self.pooled

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the run's classes of which there is no image."""
        labels = {each.label for domain in self.domains for each in domain.confusions}
        return tuple(name for at, name in enumerate(self.classes) if at not in labels)

    @property
    def known(self) -> dict[Role, int]:
        """Return the number of images of the run's own data, by what the run did with them."""
        found: dict[Role, int] = {}
        for domain in self.domains:
            for role, images in domain.known.items():
                found[role] = found.get(role, 0) + images
        return found

    @property
    def is_test(self) -> bool:
        """Return whether no image is known to have trained or selected the network."""
        return self.known.keys().isdisjoint(NOT_A_TEST)

    def replaces(self, other: DataEvaluation) -> bool:
        """Return whether another one is of the same images by the same network."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("where", "arm", "at", "checkpoint", "class_map")
        ) and _domains(self) == _domains(other)


class DataEvaluationError(UserError):
    """An invalid file of an evaluation."""


_decoder = msgspec.json.Decoder(DataEvaluation)


def encode_data_evaluation(evaluation: DataEvaluation) -> bytes:
    """Return an evaluation as JSON."""
    return msgspec.json.encode(evaluation)


def decode_data_evaluation(data: bytes) -> DataEvaluation:
    """Read an evaluation.

    Raises:
        DataEvaluationError: if the data is damaged or refers to a class that does not exist.
    """
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataEvaluationError(str(error)) from None
    if max(_class_indices(found), default=-1) >= len(found.classes):
        raise DataEvaluationError(f"class index out of range for {len(found.classes)} classes")
    return found


def _class_indices(evaluation: DataEvaluation) -> Iterator[int]:
    for domain in evaluation.domains:
        for each in domain.confusions:
            yield max(each.label, each.predicted)


def _domains(evaluation: DataEvaluation) -> list[str]:
    return [each.domain for each in evaluation.domains]
