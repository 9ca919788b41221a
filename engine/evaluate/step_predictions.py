"""Keeping of the predictions of every evaluation of a run, see ``predictions.bin``."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from engine.data import RunData
from engine.evaluate.domains import Measured
from engine.evaluate.measures import Guesses
from engine.evaluate.predictions import describe_images
from engine.protocol import class_bytes
from engine.protocol.step_predictions import (
    CERTAIN,
    EvaluatedImages,
    EvaluatedSplit,
    SplitPredictions,
    StepPredictions,
)
from engine.rundir import RunDir
from engine.rundir.step_predictions import StepPredictionsWriter
from engine.text import log_lines

MOST_CLASSES: Final = 2**16


class StepPredictionsKeeper:
    """Writes the predictions of the evaluations of one attempt; failures are only logged."""

    def __init__(self, run_dir: RunDir, data: RunData) -> None:
        self._run_dir, self._data = run_dir, data
        self._writer: StepPredictionsWriter | None = None
        self._order = torch.empty(0, dtype=torch.int64)

    def keep(self, step: int, measured: Sequence[Measured]) -> None:
        """Write the predictions after ``step`` updates, unless predictions were not kept."""
        every = [each.result.guesses for each in measured]
        guesses = [each for each in every if each is not None and each.classes <= MOST_CLASSES]
        if len(guesses) < len(every):
            return
        try:
            if self._writer is None:
                self._order = _by_number(measured)
                images = describe_evaluated(measured, self._data)
                self._writer = StepPredictionsWriter(self._run_dir.step_predictions, images)
            losses = [each.result.loss_sum / len(each.indices) for each in measured]
            self._writer.add(describe_step(step, losses, guesses, self._order))
        except OSError as error:
            said = f"Could not write the predictions of step {step}: {error}"
            print(log_lines(said), file=sys.stderr)  # noqa: T201


def describe_evaluated(measured: Sequence[Measured], data: RunData) -> EvaluatedImages:
    """Return the images of an evaluation, by number within their domain."""
    return EvaluatedImages(data.classes, tuple(_describe_images(each, data) for each in measured))


def describe_step(
    step: int, losses: Sequence[float], guesses: Sequence[Guesses], order: Tensor
) -> StepPredictions:
    """Return what is stored of an evaluation after ``step`` updates.

    Args:
        step: number of updates.
        losses: of each split, in nats.
        guesses: the predictions on each split.
        order: the places of all images, those of one split after the other, in the order in which
            they are stored; n in total.
    """
    of_class = "u1" if class_bytes(guesses[0].classes) == 1 else "<u2"
    shares = torch.cat([each.confidence for each in guesses])[order].nan_to_num_(0.0).clamp_(0, 1)
    stored = shares.mul_(CERTAIN).round_().numpy().astype("<u2").tobytes()
    predicted = torch.cat([each.predicted for each in guesses])[order].numpy().astype(of_class)
    classes, splits, end = predicted.tobytes(), [], 0
    for loss, each in zip(losses, guesses, strict=True):
        start, end = end, end + len(each.predicted)
        known = loss if math.isfinite(loss) else None
        size = predicted.itemsize
        splits.append(
            SplitPredictions(known, classes[size * start : size * end], stored[2 * start : 2 * end])
        )
    return StepPredictions(step, tuple(splits))


def _describe_images(measured: Measured, data: RunData) -> EvaluatedSplit:
    files, domain = data.image_set.files, measured.domain
    if (each := describe_images(measured, files)) is None:
        raise AssertionError("the predictions on every image are known")
    return EvaluatedSplit(
        domain.name, measured.split, domain.is_target,
        each.digest, each.images, each.members, each.labels,
        tuple(files[row].path for row in domain.rows[np.sort(measured.indices)].tolist()),
    )  # fmt: skip


def _by_number(measured: Sequence[Measured]) -> Tensor:
    """Return the places of the images of all splits, by split and number."""
    counts = [len(each.indices) for each in measured]
    starts = np.cumsum([0, *counts[:-1]])
    pairs = zip(starts, measured, strict=True)
    return torch.from_numpy(
        np.concatenate([start + np.argsort(each.indices) for start, each in pairs])
    )
