"""Augmented views of images, the same for every run.

The random draws of a view depend only on the image's path in its data set and the view's number,
not on split, seed, batch size or other images.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor

from engine.data import RunData, seed_hash
from engine.data.augment import augment_with
from engine.data.batches import PilAugmentation
from engine.data.frozen import Indices
from engine.data.transforms import parameters_of_seeds


class Views:
    """Makes the augmented views of a data set's images."""

    def __init__(self, data: RunData, kind: Literal["batch", "pil"]) -> None:
        """``kind``: the training transform, ``batch`` (from the cache) or ``pil`` (from files)."""
        self._files = data.image_set.files
        self._cached = data.domains[0].cached
        self._threads = ThreadPoolExecutor(os.cpu_count())
        self._pil = PilAugmentation(data, self._threads) if kind == "pil" else None

    def images(self, rows: Indices, view: int | None) -> Tensor:
        """Return images by their rows in the image set, (B, S, S, 3) uint8.

        ``view`` counts from 0; None: without augmentation.

        Raises:
            TrainingError: if an original file can no longer be read.
        """
        if view is None:
            return torch.from_numpy(self._cached.take(rows))
        seeds = [seed_hash("view", self._files[row].path, view) for row in rows.tolist()]
        if self._pil is not None:
            return self._pil.augment_each(rows, seeds)
        images = torch.from_numpy(self._cached.take(rows))
        sizes = torch.from_numpy(self._cached.sizes[rows])
        parameters = parameters_of_seeds(sizes, images.shape[1], seeds)
        return augment_with(images, parameters, self._threads)
