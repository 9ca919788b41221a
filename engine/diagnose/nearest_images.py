"""Keep the images of a data set that are nearest to real ones, and write an exclude list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.datasets.contact_sheet import draw_rows
from engine.datasets.folders import ImageSet
from engine.diagnose.compared_images import ComparedImages
from engine.diagnose.image_features import ImageFeatures, pretrained_network, read_features
from engine.diagnose.nearest import bins_of, keep_nearest, nearest_of_class
from engine.errors import DataError
from engine.features.cached import SHOWN_DIGITS, FrozenPart
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
from engine.rundir import write_atomic
from engine.work import Reporter

BINS: Final = 12
"""Bins of the histogram of distances."""


class _Ranking(NamedTuple):
    """The images, whether each is kept (n,), its distance (n,), and the nearest real image (n,).

    ``groups`` is the position of each image's domain and class in ``cells``.
    """

    images: ImageFeatures
    real: ImageFeatures
    cells: list[tuple[str, str]]
    groups: Tensor
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
    network = pretrained_network(request)
    images = read_features(compared.images, network, request, report)
    real = read_features(compared.real, network, request, report)
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
        real_domains=tuple(sorted({file.domain for file in real.files})),
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


def _rank(images: ImageFeatures, real: ImageFeatures, share: float) -> _Ranking:
    """Rank images; raise DataError if all real images of a class are unreadable."""
    files, real_files = images.files, real.files
    classes = sorted({file.class_name for file in real_files})
    label_of = {name: label for label, name in enumerate(classes)}
    cells = sorted({(file.domain, file.class_name) for file in files})
    if gone := sorted({class_name for _, class_name in cells} - label_of.keys()):
        raise DataError(f"No image of {gone[0]} in {real.image_set.location} can be read.")
    labels = torch.tensor([label_of[file.class_name] for file in files])
    real_labels = torch.tensor([label_of[file.class_name] for file in real_files])
    found = nearest_of_class(images.features, labels, real.features, real_labels)
    number_of = {cell: number for number, cell in enumerate(cells)}
    groups = torch.tensor([number_of[file.domain, file.class_name] for file in files])
    kept = keep_nearest(found.values, groups, share)
    return _Ranking(images, real, cells, groups, kept, found.values, found.rows)


def _counts(ranking: _Ranking) -> list[NearestCount]:
    real = Counter(file.class_name for file in ranking.real.files)
    found = []
    for number, (domain, class_name) in enumerate(ranking.cells):
        own = ranking.groups == number
        distances, kept = ranking.distances[own], ranking.kept[own]
        found.append(
            NearestCount(
                domain, class_name, len(distances), int(kept.sum()), real[class_name],
                float(np.median(distances)), float(distances[kept].max()),
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
    domain_of = {}
    places = {each.image_set.location.resolve() for each in (ranking.images, ranking.real)}
    if len(places) == 1:
        domain_of = {file.path: file.domain for file in ranking.real.files}
    decisions = [
        Decision(
            each.path, "keep" if each.is_kept else "exclude",
            more=(f"{each.distance:.6f}", each.nearest, domain_of.get(each.nearest, "")),
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
