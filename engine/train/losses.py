"""The losses of the steps since the last reading."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.splits import Indices


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
