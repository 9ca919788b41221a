"""Accumulation of losses, and errors for losses and weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.data.load import Indices
from engine.datasets.folders import ImageSet
from engine.errors import TrainingError
from engine.text import counted

ADVICE: Final = "Restart with a lower --lr (a third), or with --grad-clip 1."
MOST_NAMED: Final = 4
"""Maximum number of a batch's images named in the message."""


@dataclass(frozen=True)
class BadLoss:
    """The first loss that is not finite.

    Attributes:
        value: infinite or NaN.
        steps_ago: number of steps after it.
        before: loss of the previous step in nats, if known.
        rows: rows in the image set of its batch.
    """

    value: float
    steps_ago: int
    before: float | None
    rows: Indices | None


class LossMeter:
    """A sum of losses that stays on the device until it is read.

    Losses are kept with their images until then, so that the step of a bad loss can be named
    without synchronising with the device at every step.
    """

    def __init__(self, device: torch.device, total: float, count: int) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._sum = torch.tensor(total, dtype=dtype, device=device)
        self._unread: list[tuple[Tensor, Indices | None]] = []
        self.count = count

    @property
    def total(self) -> float:
        """Return the sum of the losses, in nats."""
        return float(self._sum)

    def add(self, loss: Tensor, rows: Indices | None) -> None:
        """Add a loss (scalar, nats) and its images' rows in the image set."""
        self._sum += loss
        self._unread.append((loss, rows))
        self.count += 1

    def take_mean(self) -> float:
        """Return the mean loss in nats since the last call, and reset."""
        mean = self.total / self.count
        self._sum.zero_()
        self._unread.clear()
        self.count = 0
        return mean

    def find_bad(self) -> BadLoss | None:
        """Return the first loss since the last reading that is not finite, if any."""
        if math.isfinite(self.total):
            return None
        values = [float(loss) for loss, _ in self._unread]
        for index, value in enumerate(values):
            if not math.isfinite(value):
                before = values[index - 1] if index else None
                return BadLoss(value, len(values) - 1 - index, before, self._unread[index][1])
        return None


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all values of tensors on one device are finite."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def bad_loss(bad: BadLoss, step: int, images: ImageSet, kept_step: int | None) -> TrainingError:
    """Return the error for a loss that is not finite.

    Args:
        bad: the loss.
        step: its step, from 1.
        images: the image set of the rows.
        kept_step: step of the last checkpoint, if there is one.
    """
    before = "" if bad.before is None else f" ({bad.before:.3g} at the previous step)"
    what = f"The loss of step {step} is {bad.value}{before}"
    return _error(what, step, bad.rows, images, kept_step)


def bad_weights(
    step: int, rows: Indices | None, images: ImageSet, kept_step: int | None
) -> TrainingError:
    """Return the error for weights or momentum that are not finite after an update."""
    what = f"Weights are NaN or infinite after step {step}"
    return _error(what, step, rows, images, kept_step)


def _error(
    what: str, step: int, rows: Indices | None, images: ImageSet, kept_step: int | None
) -> TrainingError:
    parts = [f"{what}."]
    if rows is not None:
        named = ", ".join(images.files[row].path for row in rows[:MOST_NAMED].tolist())
        others = len(rows) - MOST_NAMED
        rest = f" and {counted(others, 'other')}" if others > 0 else ""
        parts.append(f"Batch: {named}{rest}.")
    if kept_step is not None:
        parts.append(f"The checkpoint of step {kept_step} is intact.")
    parts.append(ADVICE)
    return TrainingError(" ".join(parts), step)
