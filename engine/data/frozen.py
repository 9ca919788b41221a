"""The features of a frozen backbone in place of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]


class FeatureRows(Protocol):
    """Features of every image of a data set, on disk or in memory."""

    array: npt.NDArray[Any]

    def take(self, rows: Indices) -> Rows:
        """Return rows by their indices, as a copy."""


class RowsInMemory:
    """Features in memory."""

    def __init__(self, array: Rows) -> None:
        self.array = array

    def take(self, rows: Indices) -> Rows:
        """Return rows by their indices, as a copy."""
        taken: Rows = self.array[rows]
        return taken


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of all N images of a data set, in the order of its files.

    Attributes:
        plain: without augmentation, (N, …) float32.
        views: the same of each augmented view.
    """

    plain: FeatureRows
    views: Sequence[FeatureRows] = ()

    def take(self, rows: Indices) -> Tensor:
        """Return the features of images without augmentation, (B, …)."""
        return torch.from_numpy(self.plain.take(rows))

    def draw_views(
        self, rows: Indices, generator: torch.Generator, share: slice = slice(None)
    ) -> Tensor:
        """Return the features of a random view of each image, (b, …).

        Args:
            rows: of the images of a batch, (B,).
            generator: on the CPU; draws a view for all of them.
            share: the slice of the batch to return.
        """
        views = torch.randint(len(self.views), (len(rows),), generator=generator)
        return self.take_views(rows[share], views[share].numpy())

    def take_views(self, rows: Indices, views: npt.NDArray[np.int64]) -> Tensor:
        """Return the features of one view of each image, (B, …).

        Args:
            rows: of the images, (B,).
            views: in 0 … V−1, (B,).
        """
        taken = np.empty((len(rows), *self.plain.array.shape[1:]), dtype=np.float32)
        for view, source in enumerate(self.views):
            at = np.flatnonzero(views == view)
            if len(at):
                taken[at] = source.take(rows[at])
        return torch.from_numpy(taken)
