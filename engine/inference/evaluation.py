"""Evaluation of a run's network on labelled images from anywhere."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import torch

from engine.data import groups_of
from engine.datasets.folders import ImageSet
from engine.datasets.same_pixels import PixelDigest, pixel_digest
from engine.errors import DataError, UserError
from engine.evaluate.measures import DomainResult, Tally
from engine.evaluate.predictions import confusions_in
from engine.evaluate.resampling import JudgedImages, ValueKey, Values, measure_images
from engine.inference.labelled import LabelledImages
from engine.inference.own_images import find_own_images
from engine.inference.session import InferenceSession
from engine.machine.devices import device_name
from engine.protocol.data_evaluations import (
    RESAMPLES,
    RESAMPLING_SEED,
    DataEvaluation,
    DomainScores,
    MeasuredValue,
    Role,
    Scores,
)
from engine.protocol.inference import EvaluateRun
from engine.protocol.measures import ACCURACY
from engine.rundir import RunDir
from engine.text import without_advice
from engine.work import Progress, Reporter, progress_of


@dataclass
class _Domain:
    """The predictions on one domain so far."""

    raw: Tally
    calibrated: Tally
    rows: list[int] = field(default_factory=list)


def evaluate_run(request: EvaluateRun, images: LabelledImages, report: Reporter) -> DataEvaluation:
    """Evaluate a run's network on labelled images.

    Raises:
        InputError: if the images or the network cannot be used.
    """
    run_dir = RunDir(Path(request.run_dir))
    session = InferenceSession(request, report)
    domains, unreadable, pixels = _predict(session, images, report)
    if not pixels:
        raise DataError(_nothing_readable(images.image_set, unreadable))
    known, known_problem = _known(run_dir, images.image_set, pixels, session)
    scored, pooled, mean = _score(
        domains,
        images.image_set,
        known,
        progress_of(report, "computing intervals", "resamples"),
        is_calibrated=session.is_calibrated,
    )
    return DataEvaluation(
        dataset=images.image_set.name,
        where=str(images.image_set.location),
        reading=_reading(images.image_set),
        digest=_digest(images),
        evaluated_at=time.time(),
        arm=session.classifier.arm,
        at=request.at,
        step=session.classifier.step,
        checkpoint=session.classifier.checkpoint,
        classes=session.classifier.classes,
        class_map=request.class_map,
        left_out=images.left_out,
        domains=scored,
        pooled=pooled,
        mean=mean,
        temperature=session.temperature if session.is_calibrated else None,
        unreadable=unreadable,
        known_problem=known_problem,
        device=device_name(session.device),
    )


def _predict(
    session: InferenceSession, images: LabelledImages, report: Reporter
) -> tuple[dict[str, _Domain], dict[str, str], dict[int, PixelDigest]]:
    """Return the predictions by domain, why images are unreadable, and the pixels of the others."""
    image_set, rows = images.image_set, images.rows
    classes = len(session.classifier.classes)
    domains: dict[str, _Domain] = {}
    unreadable: dict[str, str] = {}
    pixels: dict[int, PixelDigest] = {}
    progress = progress_of(report, "evaluating", "images")
    for batch in session.logits(len(rows), lambda at: image_set.read(rows[at])):
        unreadable |= {image_set.files[rows[at]].path: why for at, why in batch.unreadable.items()}
        found = [rows[at] for at in batch.positions]
        for row, each in zip(found, batch.pixels.numpy(), strict=True):
            pixels[row] = pixel_digest(each)
        for name in dict.fromkeys(image_set.files[row].domain for row in found):
            chosen = [at for at, row in enumerate(found) if image_set.files[row].domain == name]
            domain = domains.setdefault(name, _Domain(Tally(classes), Tally(classes)))
            logits = batch.logits[chosen]
            labels = torch.tensor([images.labels[found[at]] for at in chosen])
            domain.raw.add(logits, labels)
            domain.calibrated.add(logits / session.temperature, labels)
            domain.rows += [found[at] for at in chosen]
        progress(len(pixels) + len(unreadable), len(rows))
    return domains, unreadable, pixels


def _nothing_readable(image_set: ImageSet, unreadable: Mapping[str, str]) -> str:
    lines = [f"  {path}: {why}" for path, why in list(unreadable.items())[:5]]
    return "\n".join([f"No image of {image_set.location} can be read, for example:", *lines])


def _known(
    run_dir: RunDir,
    image_set: ImageSet,
    pixels: Mapping[int, PixelDigest],
    session: InferenceSession,
) -> tuple[dict[int, Role], str]:
    """Return what the run did with images of its own data, and why it cannot be known."""
    try:
        size = session.classifier.image_size
        return find_own_images(run_dir, image_set, pixels, size), ""
    except UserError as error:  # its advice is for training
        return {}, f"{without_advice(error)}."


def _reading(image_set: ImageSet) -> str:
    """Return how folders were read, if it is not the obvious way."""
    is_obvious = image_set.layout in ("class", "table")
    return "" if is_obvious else image_set.reading


def _digest(images: LabelledImages) -> str:
    files = [
        (file.domain, images.labels[row], file.path, file.size)
        for row in images.rows
        for file in [images.image_set.files[row]]
    ]
    return hashlib.sha256(msgspec.json.encode(files)).hexdigest()[:32]


def _score(
    domains: Mapping[str, _Domain],
    image_set: ImageSet,
    known: Mapping[int, Role],
    on_progress: Progress,
    *,
    is_calibrated: bool,
) -> tuple[tuple[DomainScores, ...], Scores, Scores | None]:
    """Return the results on each domain, on all images, and their mean over several domains."""
    every = [*domains.values()]
    judged = [
        JudgedImages(
            each.raw.guesses(),
            each.calibrated.guesses() if is_calibrated else None,
            groups_of(image_set, each.rows),
        )
        for each in every
    ]
    raw = [each.raw.result() for each in every]
    calibrated = [each.calibrated.result() for each in every if is_calibrated]
    groups = [each.units() for each in judged if each.groups is not None]
    values, of_pooled, of_mean = measure_images(
        judged, resamples=RESAMPLES, seed=RESAMPLING_SEED, on_progress=on_progress
    )
    scored = tuple(
        DomainScores(
            domain=name,
            scores=_scores(
                values[at], raw[at : at + 1], calibrated[at : at + 1], groups[at : at + 1]
            ),
            confusions=confusions_in(raw[at].confusion),
            known=dict(Counter(known[row] for row in domain.rows if row in known)),
        )
        for at, (name, domain) in enumerate(domains.items())
    )
    mean = _scores(of_mean, raw, calibrated, groups, is_mean=True)
    pooled = _scores(of_pooled, raw, calibrated, groups)
    return scored, pooled, mean if len(every) > 1 else None


def _scores(
    values: Values,
    raw: Sequence[DomainResult],
    calibrated: Sequence[DomainResult],
    groups: Sequence[int],
    *,
    is_mean: bool = False,
) -> Scores:
    """Return the results on some domains; ``is_mean``: the loss is the mean over domains."""

    def measures(*, are_calibrated: bool) -> dict[str, MeasuredValue]:
        return {
            key.name: value
            for key, value in values.items()
            if key.is_calibrated == are_calibrated and key.name != ACCURACY
        }

    return Scores(
        images=sum(each.images for each in raw),
        groups=sum(groups) if groups else None,
        accuracy=values[ValueKey(ACCURACY)],
        measures=measures(are_calibrated=False),
        loss=_loss(raw, is_mean=is_mean),
        calibrated=measures(are_calibrated=True),
        calibrated_loss=_loss(calibrated, is_mean=is_mean) if calibrated else None,
    )


def _loss(results: Sequence[DomainResult], *, is_mean: bool) -> float | None:
    """Return the mean loss over images, or the mean over domains; None: not finite."""
    if is_mean:
        loss = sum(each.loss for each in results) / len(results)
    else:
        loss = sum(each.loss_sum for each in results) / sum(each.images for each in results)
    return loss if math.isfinite(loss) else None
