"""Losses of the steps, and training that left the finite numbers: where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.data.splits import Indices
from engine.datasets.folders import ImageSet, counted
from engine.errors import TrainingError

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


@dataclass(frozen=True)
class BadLoss:
    """The first loss that was no finite number.

    Attributes:
        value: infinite or not a number.
        steps_ago: how many steps were taken after its own.
        before: the loss of the step before, in nats, where one is known.
        rows: images of its batch, by their rows in the image set.
    """

    value: float
    steps_ago: int
    before: float | None
    rows: Indices | None


class LossMeter:
    """A sum of losses that stays on the device until somebody asks.

    Each loss is kept with the images it is of until it is read, so that the step at which
    training broke can be named without waiting for the device at every step.
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
        """Add one loss in nats, a scalar, of images by their rows in the image set."""
        self._sum += loss
        self._unread.append((loss, rows))
        self.count += 1

    def take_mean(self) -> float:
        """Return the mean loss in nats since the last call, and begin again."""
        mean = self.total / self.count
        self._sum.zero_()
        self._unread.clear()
        self.count = 0
        return mean

    def find_bad(self) -> BadLoss | None:
        """Return the first loss since the last reading that is no finite number, if any is."""
        if math.isfinite(self.total):
            return None
        values = [float(loss) for loss, _ in self._unread]
        for index, value in enumerate(values):
            if not math.isfinite(value):
                before = values[index - 1] if index else None
                return BadLoss(value, len(values) - 1 - index, before, self._unread[index][1])
        return None
