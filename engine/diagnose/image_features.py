"""Features of a data set's images in a pre-trained network, outside of any run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data import DomainData, RunData, seed_hash
from engine.data.frozen import Indices
from engine.datasets.cache import cached_images
from engine.datasets.folders import ImageSet
from engine.datasets.sources import ImageFile
from engine.diagnose.chosen_images import ChosenImages
from engine.errors import DataError
from engine.execution import Execution
from engine.features import cached_features
from engine.inference.session import refusing_large_batches
from engine.machine.devices import resolve_device
from engine.model import FineTunedNetwork, build_network
from engine.protocol.image_features import ReadsFeatures
from engine.protocol.methods import JOINED_BY
from engine.protocol.work import WorkNote
from engine.work import Reporter, progress_of


class ImageFeatures(NamedTuple):
    """The readable ones of chosen images: their rows (n,), classes and features (n, D)."""

    image_set: ImageSet
    rows: Indices
    features: Tensor
    unreadable: int

    @property
    def files(self) -> list[ImageFile]:
        """Return the files of the rows."""
        return [self.image_set.files[row] for row in self.rows.tolist()]


def pretrained_network(request: ReadsFeatures) -> FineTunedNetwork:
    """Return the pre-trained network; its last layer is not used."""
    return build_network(
        request.model,
        classes=2,
        weights=request.weights,
        image_size=request.image_size,
        seed=seed_hash("network", 0),
        tuning="linear" if JOINED_BY in request.model else "full",
        linear_features="penultimate",
        weights_key=request.weights_key,
        for_inference=True,
    )


def read_features(
    chosen: ChosenImages, network: FineTunedNetwork, request: ReadsFeatures, report: Reporter
) -> ImageFeatures:
    """Return the features of chosen images, from the cache or computed for the whole data set.

    Raises:
        DataError: if no image can be read.
        InputError: if features can neither be stored nor kept in memory.
    """
    image_set, cache_dir = chosen.image_set, Path(request.cache_dir)
    device = resolve_device(request.device)
    reading = progress_of(report, f"reading {image_set.name}", "images")
    cached = cached_images(image_set, request.image_size, cache_dir, reading)
    every = np.array([row for row in range(len(image_set)) if row not in cached.unreadable])
    rows = np.array([row for row in chosen.rows if row not in cached.unreadable], dtype=np.int64)
    if not len(rows):
        raise DataError(f"None of the chosen images of {image_set.location} can be read.")
    none = np.zeros(0, dtype=np.int64)
    labels = torch.zeros(len(every), dtype=torch.int64)
    whole = DomainData(image_set.name, False, cached, every, labels, none, none)
    data = RunData(image_set.name, image_set.classes, (whole,), (), image_set, digest="")
    with refusing_large_batches(device, request.batch_size):
        found = cached_features(
            network, data, cache_dir,
            lambda: Execution(device, "fp32", "channels_last", folds_inference=True),
            model=request.model, device=device, batch_size=request.batch_size,
            on_progress=progress_of(report, f"features of {image_set.name}", "images"),
        )  # fmt: skip
    for note in found.notes:
        report(WorkNote(note))
    features = torch.from_numpy(found.features.plain.array[rows]).flatten(1)
    return ImageFeatures(image_set, rows, features, len(chosen.rows) - len(rows))
