"""``python -m engine.datasets REQUEST``: operations on data sets, reported as JSON lines.

For programs that do not decode images; see :mod:`engine.protocol.datasets`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.cache import Entry, entries, remove, remove_leftovers
from engine.datasets.cache import cached_images
from engine.datasets.card import read_card
from engine.datasets.catalog import describe, find_image_set, list_datasets
from engine.datasets.check import check_images
from engine.datasets.contact_sheet import draw_contact_sheet, draw_tiles, refuse_unwritable
from engine.datasets.fetch import fetch_dataset
from engine.datasets.folders import ImageSet, Use
from engine.datasets.named_sets import remove_dataset, rename_dataset
from engine.datasets.outliers import open_outliers
from engine.datasets.register import add_dataset
from engine.datasets.shift import shift_dataset, split_dataset
from engine.protocol import spec_from_mapping
from engine.protocol.datasets import (
    AddDataset,
    CacheDataset,
    CacheEntry,
    CacheListing,
    CheckDataset,
    CountOutliers,
    DescribeDataset,
    FetchDataset,
    ListCache,
    ListDatasets,
    RemoveCache,
    RemoveDataset,
    RenameDataset,
    ShiftDataset,
    SplitDataset,
)
from engine.work import Reporter, progress_of, work


def _list(request: ListDatasets, _report: Reporter) -> object:
    return list_datasets(Path(request.root))


def _describe(request: DescribeDataset, _report: Reporter) -> object:
    return describe(request.name, _image_set(request))


def _count_outliers(request: CountOutliers, _report: Reporter) -> object:
    return len(open_outliers(request.outliers, request.classes))


def _cache(request: CacheDataset, report: Reporter) -> object:
    image_set = _image_set(request)
    progress = progress_of(report, "decoding", "images")
    cached = cached_images(image_set, request.image_size, Path(request.cache_dir), progress)
    unreadable = {image_set.files[index].path: why for index, why in cached.unreadable.items()}
    return CacheListing(len(image_set), unreadable, cached.pixels.nbytes)


def _list_cache(request: ListCache, _report: Reporter) -> list[CacheEntry]:
    described = [_described(entry) for entry in entries(Path(request.cache_dir))]
    return [each for each in described if request.name in (None, each.dataset)]


def _remove_cache(request: RemoveCache, _report: Reporter) -> list[CacheEntry]:
    cache_dir = Path(request.cache_dir)
    remove_leftovers(cache_dir)
    wanted = [each for each in entries(cache_dir) if each.folder.name in request.keys]
    return [_described(each) for each in wanted if remove(each)]


def _described(entry: Entry) -> CacheEntry:
    own = {
        "key": entry.folder.name, "kind": entry.kind, "size_bytes": entry.size_bytes,
        "used_at": entry.used_at,
    }  # fmt: skip
    try:
        return msgspec.convert({**entry.about, **own}, CacheEntry)
    except msgspec.ValidationError:  # a damaged description
        return msgspec.convert(own, CacheEntry)


def _check(request: CheckDataset, report: Reporter) -> object:
    image_set = _image_set(request, use="check")
    if request.sheet is not None:
        refuse_unwritable(Path(request.sheet))  # before minutes of reading
    progress = progress_of(report, "reading", "images")
    is_as_added = request.location and request.exclude is None
    card = read_card(Path(request.location)) if is_as_added else None
    found = check_images(
        image_set, request.near_distance, progress, request.validation_fraction, card
    )
    if request.sheet is not None:
        draw_contact_sheet(image_set, Path(request.sheet))
    if request.tiles is not None:
        draw_tiles(image_set, Path(request.tiles))
    return found


def _remove(request: RemoveDataset, _report: Reporter) -> object:
    return remove_dataset(request)


def _rename(request: RenameDataset, _report: Reporter) -> object:
    return rename_dataset(request)


def _image_set(
    request: CacheDataset | CheckDataset | DescribeDataset, *, use: Use = "run"
) -> ImageSet:
    given = {
        "dataset": request.name, "data_dir": request.location or None, "layout": request.layout,
        "exclude": request.exclude,
    }  # fmt: skip
    return find_image_set(spec_from_mapping(given), use=use)


WORK: Final[Mapping[type, Callable[[Any, Reporter], object]]] = {
    ListDatasets: _list,
    DescribeDataset: _describe,
    CountOutliers: _count_outliers,
    AddDataset: add_dataset,
    FetchDataset: fetch_dataset,
    ShiftDataset: shift_dataset,
    SplitDataset: split_dataset,
    CacheDataset: _cache,
    ListCache: _list_cache,
    RemoveCache: _remove_cache,
    CheckDataset: _check,
    RemoveDataset: _remove,
    RenameDataset: _rename,
}
"""Handlers by request type."""


if __name__ == "__main__":
    sys.exit(work(sys.argv[1:], WORK))
