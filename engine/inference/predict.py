"""Predictions for images from anywhere, in order, as they are computed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from engine.datasets.sources import read_image_file
from engine.evaluate.confidence import OOD_SCORED
from engine.inference.images import LogitsBatch
from engine.inference.listing import FoundImages
from engine.inference.session import InferenceSession
from engine.machine.devices import device_name
from engine.protocol.inference import PredictImages, Prediction, PredictionsMade
from engine.protocol.work import WorkNote, WorkRows
from engine.work import Reporter, progress_of


def predict_images(request: PredictImages, found: FoundImages, report: Reporter) -> PredictionsMade:
    """Classify images and report a row for each, in order.

    Raises:
        InputError: if the network cannot be used.
    """
    for text in found.left_out:
        report(WorkNote(text))
    session = InferenceSession(request, report)
    threshold = _threshold(request, session, report)
    files, progress = found.files, progress_of(report, "predicting", "images")
    done = unreadable = 0
    for batch in session.logits(len(files), lambda at: _read(files[at])):
        rows = list(_rows(batch, files, request, session, threshold))
        done, unreadable = done + len(rows), unreadable + len(batch.unreadable)
        report(WorkRows(msgspec.Raw(msgspec.json.encode(rows))))
        progress(done, len(files))
    classifier = session.classifier
    return PredictionsMade(
        images=done,
        unreadable=unreadable,
        classes=classifier.classes,
        arm=classifier.arm,
        temperature=session.temperature,
        threshold=threshold,
        calibration=classifier.calibration,
        device=device_name(session.device),
    )


def _threshold(request: PredictImages, session: InferenceSession, report: Reporter) -> float | None:
    """Return the threshold of the requested score; report if it is unknown."""
    if request.ood is None:
        return None
    if session.classifier.calibration is not None:
        return session.classifier.calibration.thresholds[request.ood]
    if not request.calibrates:  # otherwise a note says so already
        report(
            WorkNote(
                "The OOD score has no threshold: it comes with the calibration. Drop "
                "--no-calibration."
            )
        )
    return None


def _rows(
    batch: LogitsBatch,
    files: Sequence[str],
    request: PredictImages,
    session: InferenceSession,
    threshold: float | None,
) -> Iterator[Prediction]:
    """Yield a row for each image of a batch, in order."""
    made: dict[int, Prediction] = {
        at: Prediction(_shown(files[at]), problem=why) for at, why in batch.unreadable.items()
    }
    if batch.positions:
        classes = session.classifier.classes
        top = session.probabilities(batch.logits).topk(min(max(request.top, 2), len(classes)))
        scores: Sequence[float | None] = [None] * len(batch.positions)
        if request.ood is not None:
            scores = OOD_SCORED[request.ood](batch.logits).tolist()
        for at, shares, labels, score in zip(
            batch.positions, top.values.tolist(), top.indices.tolist(), scores, strict=True
        ):
            made[at] = Prediction(
                path=files[at],
                classes=tuple(classes[label] for label in labels[: request.top]),
                probabilities=tuple(shares[: request.top]),
                margin=shares[0] - shares[1],
                ood_score=score,
                is_ood=None if score is None or threshold is None else score > threshold,
            )
    for at in sorted(made):
        yield made[at]


def _read(file: str) -> bytes:
    """Return a file's content; raise OSError if it cannot be read, or rows cannot name it."""
    if _shown(file) != file:
        raise OSError("the file name is not UTF-8; rename the file")
    return read_image_file(Path(file))


def _shown(file: str) -> str:
    """Return a path as text that JSON can hold."""
    return os.fsencode(file).decode(errors="backslashreplace")
