"""Keep the images of a data set that are nearest to real ones, and write an exclude list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data import DomainData, RunData, seed_hash
from engine.data.frozen import Indices
from engine.datasets.cache import cached_images
from engine.datasets.contact_sheet import draw_rows
from engine.datasets.folders import ImageSet
from engine.datasets.sources import ImageFile
from engine.diagnose.compared_images import ChosenImages, ComparedImages
from engine.diagnose.nearest import bins_of, keep_nearest, nearest_of_class
from engine.errors import DataError
from engine.execution import Execution
from engine.features import cached_features
from engine.features.cached import SHOWN_DIGITS, FrozenPart
from engine.inference.session import refusing_large_batches
from engine.machine.devices import resolve_device
from engine.model import FineTunedNetwork, build_network
from engine.protocol.exclude_lists import Decision, exclude_list
from engine.protocol.nearest_images import (
    LIST_COLUMNS,
    SHOWN_IMAGES,
    DistanceBin,
    FindNearest,
    NearestCount,
    NearestImages,
    RankedImage,
)
from engine.protocol.spec import MODELS_JOINED_BY
from engine.protocol.work import WorkNote
from engine.rundir import write_atomic
from engine.work import Reporter, progress_of

BINS = 12
"""Bins of the histogram of distances."""


class _Features(NamedTuple):
    """The readable ones of chosen images: their rows (n,), classes and features (n, D)."""

    image_set: ImageSet
    rows: Indices
    features: Tensor
    unreadable: int

    @property
    def files(self) -> list[ImageFile]:
        return [self.image_set.files[row] for row in self.rows.tolist()]


class _Ranking(NamedTuple):
    """The images, whether each is kept (n,), its distance (n,), and the nearest real image (n,)."""

    images: _Features
    real: _Features
    kept: Tensor
    distances: Tensor
    nearest: Tensor

    def ranked(self, at: int) -> RankedImage:
        file = self.images.image_set.files[int(self.images.rows[at])]
        other = self.real.image_set.files[int(self.real.rows[int(self.nearest[at])])]
        return RankedImage(
            file.path, file.domain, file.class_name, float(self.distances[at]), other.path,
            bool(self.kept[at]),
        )  # fmt: skip


def find_nearest(request: FindNearest, compared: ComparedImages, report: Reporter) -> NearestImages:
    """Rank images by their distance to real ones, keep a share of each class of each domain, and
    write what is not kept as an exclude list.

    Raises:
        InputError: if the network is unavailable, an image's features cannot be compared, or a file
            cannot be written.
    """
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    network = _network(request)
    images = _features(compared.images, network, request, report)
    real = _features(compared.real, network, request, report)
    ranking = _rank(images, real, request.keep)
    order = ranking.distances.argsort(stable=True).tolist()
    nearest, farthest = order[:SHOWN_IMAGES], order[::-1][:SHOWN_IMAGES]
    if request.out is not None:
        _write_list(ranking, Path(request.out))
    if request.tiles is not None:
        draw_rows(_picture_rows(ranking, (nearest, farthest)), Path(request.tiles))
    return NearestImages(
        dataset=images.image_set.name,
        real=real.image_set.name,
        model=request.model,
        weights=FrozenPart.of(network).digest[:SHOWN_DIGITS],
        keep=request.keep,
        counts=tuple(_counts(ranking)),
        bins=tuple(_bins(ranking)),
        nearest=tuple(map(ranking.ranked, nearest)),
        farthest=tuple(map(ranking.ranked, farthest)),
        unreadable=images.unreadable + real.unreadable,
        out=request.out,
    )


def _network(request: FindNearest) -> FineTunedNetwork:
    """Return the pre-trained network; its last layer is not used."""
    return build_network(
        request.model,
        classes=2,
        weights=request.weights,
        image_size=request.image_size,
        seed=seed_hash("network", 0),
        tuning="linear" if MODELS_JOINED_BY in request.model else "full",
        linear_features="penultimate",
        weights_key=request.weights_key,
        for_inference=True,
    )


def _features(
    chosen: ChosenImages, network: FineTunedNetwork, request: FindNearest, report: Reporter
) -> _Features:
    """Return the features of chosen images, from the cache or computed for the whole data set."""
    image_set, cache_dir = chosen.image_set, Path(request.cache_dir)
    device = resolve_device(request.device)
    reading = progress_of(report, f"reading {image_set.name}", "images")
    cached = cached_images(image_set, request.image_size, cache_dir, reading)
    every = np.array([row for row in range(len(image_set)) if row not in cached.unreadable])
    if not len(every):
        raise DataError(f"No image of {image_set.location} can be read.")
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
    rows = np.array([row for row in chosen.rows if row not in cached.unreadable], dtype=np.int64)
    features = torch.from_numpy(found.features.plain.array[rows]).flatten(1)
    return _Features(image_set, rows, features, len(chosen.rows) - len(rows))


def _rank(images: _Features, real: _Features, share: float) -> _Ranking:
    """Rank images; raise DataError if all real images of a class are unreadable."""
    label_of = {
        name: label for label, name in enumerate(sorted({f.class_name for f in real.files}))
    }
    if gone := sorted({file.class_name for file in images.files} - label_of.keys()):
        raise DataError(f"No image of {gone[0]} in {real.image_set.location} can be read.")
    labels = torch.tensor([label_of[file.class_name] for file in images.files])
    real_labels = torch.tensor([label_of[file.class_name] for file in real.files])
    distances = nearest_of_class(images.features, labels, real.features, real_labels)
    cells = {cell: number for number, cell in enumerate(_cells(images))}
    groups = torch.tensor([cells[file.domain, file.class_name] for file in images.files])
    kept = keep_nearest(distances.values, groups, share)
    return _Ranking(images, real, kept, distances.values, distances.rows)


def _cells(images: _Features) -> list[tuple[str, str]]:
    return sorted({(file.domain, file.class_name) for file in images.files})


def _counts(ranking: _Ranking) -> list[NearestCount]:
    found = []
    classes = [file.class_name for file in ranking.real.files]
    for domain, class_name in _cells(ranking.images):
        own = torch.tensor(
            [(f.domain, f.class_name) == (domain, class_name) for f in ranking.images.files]
        )
        distances, kept = ranking.distances[own], ranking.kept[own]
        found.append(
            NearestCount(
                domain, class_name, len(distances), int(kept.sum()), classes.count(class_name),
                float(distances.quantile(0.5)), float(distances[kept].max()),
            )
        )  # fmt: skip
    return found


def _bins(ranking: _Ranking) -> list[DistanceBin]:
    edges, places = bins_of(ranking.distances, BINS)
    count = len(edges) - 1
    kept = places[ranking.kept].bincount(minlength=count).tolist()
    excluded = places[~ranking.kept].bincount(minlength=count).tolist()
    return [DistanceBin(*each) for each in zip(edges, edges[1:], kept, excluded, strict=False)]


def _write_list(ranking: _Ranking, file: Path) -> None:
    """Write every image with its decision, by domain and class, the nearest first."""
    ranked = sorted(
        map(ranking.ranked, range(len(ranking.kept))),
        key=lambda each: (each.domain, each.class_name, each.distance),
    )
    decisions = [
        Decision(
            each.path, "keep" if each.is_kept else "exclude",
            more=(f"{each.distance:.6f}", each.nearest),
        )
        for each in ranked
    ]  # fmt: skip
    try:
        write_atomic(file, exclude_list(decisions, LIST_COLUMNS))
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from None


def _picture_rows(
    ranking: _Ranking, parts: Sequence[Sequence[int]]
) -> list[list[tuple[ImageSet, int]]]:
    """Return the images of each part, each row followed by their nearest real images."""
    rows = []
    for part in parts:
        images, real = ranking.images, ranking.real
        rows.append([(images.image_set, int(images.rows[at])) for at in part])
        nearest = [int(ranking.nearest[at]) for at in part]
        rows.append([(real.image_set, int(real.rows[at])) for at in nearest])
    return rows
