"""Training that left the finite numbers: at which step, on which images, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

from engine.data.splits import Indices
from engine.datasets.folders import ImageSet, counted
from engine.errors import TrainingError
from engine.train.losses import BadLoss

ADVICE: Final = "Start again with a lower --lr (a third), or with --grad-clip 1."
MOST_NAMED: Final = 4
"""Images of a batch that are named before the rest is counted."""


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Say whether all values of some tensors, on one device, are finite numbers."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def bad_loss(bad: BadLoss, step: int, images: ImageSet, kept_step: int | None) -> TrainingError:
    """Return the error of a loss that is no finite number.

    Args:
        bad: the loss.
        step: after how many updates it was its turn, counting its own.
        images: the files the rows belong to.
        kept_step: of the checkpoint that is left, if one is.
    """
    before = "" if bad.before is None else f", {bad.before:.3g} at the step before"
    what = f"The loss of step {step} is {bad.value}{before}"
    return _error(what, step, bad.rows, images, kept_step)


def bad_weights(
    step: int, rows: Indices | None, images: ImageSet, kept_step: int | None
) -> TrainingError:
    """Return the error of weights, or their momentum, that an update left without finite values."""
    what = f"The update of step {step} left weights that are not finite"
    return _error(what, step, rows, images, kept_step)


def _error(
    what: str, step: int, rows: Indices | None, images: ImageSet, kept_step: int | None
) -> TrainingError:
    parts = [f"{what}."]
    if rows is not None:
        named = ", ".join(images.files[row].path for row in rows[:MOST_NAMED].tolist())
        others = len(rows) - MOST_NAMED
        rest = f" and {counted(others, 'other')}" if others > 0 else ""
        parts.append(f"Its batch: {named}{rest}.")
    if kept_step is not None:
        parts.append(f"The checkpoint of step {kept_step} is sound and kept.")
    parts.append(ADVICE)
    return TrainingError(" ".join(parts), step)
