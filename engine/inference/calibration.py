"""Calibrated probabilities and thresholds of OOD scores, from ID validation images.

They are computed on first use and stored in the run's folder, because they need the images that
the run held out, which may be gone later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.batches import send
from engine.data.load import RunData
from engine.errors import InputError
from engine.evaluate.confidence import OOD_SCORED, fit_temperature, kept_threshold
from engine.inference.classifier import Classifier, calibration_key
from engine.inference.split import load_split
from engine.protocol.inference import At, Calibration
from engine.rundir import RunDir
from engine.work import Progress

MOST_IMAGES: Final = 2000
"""ID validation images to use, of all sources together: enough to estimate one parameter."""
BATCH_IMAGES: Final = 64


def calibrate(
    run_dir: RunDir,
    classifier: Classifier,
    *,
    at: At = "best",
    on_progress: Progress = lambda _done, _total: None,
) -> Calibration:
    """Calibrate a run's classifier on its ID validation images, and store the result.

    Args:
        run_dir: the run that the classifier was loaded from.
        classifier: gets the calibration.
        at: step of its network.
        on_progress: called with the number of decoded images of the data set and the total.

    Raises:
        InputError: if the images are missing or changed since the run, combined runs held out
            different ones, or a logit is not finite.
    """
    data = load_split(run_dir, classifier.arm, at, on_progress)
    taken = _taken(data)
    logits, labels = _predict(classifier, data, taken)
    calibration = fit_calibration(
        logits, labels, classifier.checkpoint, {name: len(rows) for name, rows in taken.items()}
    )
    classifier.calibration = calibration
    with suppress(OSError):  # in a folder that cannot be written, it is computed each time
        run_dir.write_calibration(calibration_key(classifier.arm, at), calibration)
    return calibration


def fit_calibration(
    logits: Tensor, labels: Tensor, checkpoint: str, images: Mapping[str, int]
) -> Calibration:
    """Return the calibration of logits (N, C) of ID validation images with labels (N,).

    ``checkpoint`` and ``images`` are recorded.

    Raises:
        InputError: if a logit is not finite.
    """
    logits = logits.double()
    if not logits.isfinite().all():
        raise InputError("The network's logits are not finite on its validation images.")
    temperature = fit_temperature(logits, labels)
    return Calibration(
        checkpoint=checkpoint,
        temperature=temperature,
        loss=float(F.cross_entropy(logits, labels)),
        calibrated_loss=float(F.cross_entropy(logits / (temperature or 1.0), labels)),
        thresholds={name: kept_threshold(score(logits)) for name, score in OOD_SCORED.items()},
        images=dict(images),
    )


def spread(counts: Sequence[int], most: int) -> list[int]:
    """Return how many to take of each, ``most`` at most in all, as evenly as possible."""
    taken = [0] * len(counts)
    left = most
    order = sorted(range(len(counts)), key=lambda at: counts[at])
    for place, at in enumerate(order):
        taken[at] = min(counts[at], left // (len(counts) - place))
        left -= taken[at]
    return taken


def _taken(data: RunData) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Return the validation images to use of each source; they are in random order."""
    counts = spread([len(source.out_indices) for source in data.sources], MOST_IMAGES)
    return {
        source.name: source.out_indices[:count]
        for source, count in zip(data.sources, counts, strict=True)
    }


def _predict(
    classifier: Classifier,
    data: RunData,
    taken: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
) -> tuple[Tensor, Tensor]:
    """Return the logits and labels of validation images, on the CPU."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for source in data.sources:
            for start in range(0, len(taken[source.name]), BATCH_IMAGES):
                indices = taken[source.name][start : start + BATCH_IMAGES]
                yield source.images(indices), source.labels[torch.from_numpy(indices)]

    device = next(classifier.parameters()).device
    with torch.inference_mode(), classifier.folded():
        found = [
            (classifier(classifier.normalise(send(pixels, device))).cpu(), labels)
            for pixels, labels in batches()
        ]
    logits, labels = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(labels)
