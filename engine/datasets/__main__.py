"""``python -m engine.datasets REQUEST``: work on image sets, reported as lines of JSON.

Interfaces that decode no images themselves ask this; ``engine.protocol.datasets`` says how.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.datasets.cache import cached_images
from engine.datasets.card import read_card
from engine.datasets.catalog import describe, find_image_set, list_datasets
from engine.datasets.check import check_images
from engine.datasets.contact_sheet import draw_contact_sheet, draw_tiles
from engine.datasets.folders import ImageSet
from engine.datasets.named_sets import remove_dataset, rename_dataset
from engine.datasets.progress import Tell, progress_of
from engine.datasets.register import add_dataset, fetch_dataset
from engine.datasets.shift import shift_dataset
from engine.datasets.split_column import split_dataset
from engine.errors import InputError
from engine.protocol import spec_from_mapping
from engine.protocol.datasets import (
    AddDataset,
    CacheDataset,
    CacheListing,
    CheckDataset,
    DatasetRequest,
    DescribeDataset,
    FetchDataset,
    ListDatasets,
    RemoveDataset,
    RenameDataset,
    ShiftDataset,
    SplitDataset,
    WorkDone,
    WorkRefused,
    WorkReport,
)

REFUSED_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130


def _list(request: ListDatasets, _tell: Tell) -> object:
    return list_datasets(Path(request.root))


def _describe(request: DescribeDataset, _tell: Tell) -> object:
    return describe(request.name, _image_set(request))


def _add(request: AddDataset, tell: Tell) -> object:
    return add_dataset(request, tell)


def _fetch(request: FetchDataset, tell: Tell) -> object:
    return fetch_dataset(request, tell)


def _shift(request: ShiftDataset, tell: Tell) -> object:
    return shift_dataset(request, tell)


def _split(request: SplitDataset, tell: Tell) -> object:
    return split_dataset(request, tell)


def _cache(request: CacheDataset, tell: Tell) -> object:
    image_set = _image_set(request)
    progress = progress_of(tell, "decoding", "images")
    cached = cached_images(image_set, request.image_size, Path(request.cache_dir), progress)
    unreadable = {image_set.files[index].path: why for index, why in cached.unreadable.items()}
    return CacheListing(len(image_set), unreadable, cached.pixels.nbytes)


def _check(request: CheckDataset, tell: Tell) -> object:
    image_set = _image_set(request)
    progress = progress_of(tell, "reading", "images")
    card = read_card(Path(request.location)) if request.location else None
    report = check_images(
        image_set, request.near_distance, progress, request.validation_fraction, card
    )
    if request.sheet is not None:
        draw_contact_sheet(image_set, Path(request.sheet))
    if request.tiles is not None:
        draw_tiles(image_set, Path(request.tiles))
    return report


def _remove(request: RemoveDataset, _tell: Tell) -> object:
    return remove_dataset(request)


def _rename(request: RenameDataset, _tell: Tell) -> object:
    return rename_dataset(request)


def _image_set(request: CacheDataset | CheckDataset | DescribeDataset) -> ImageSet:
    given = {
        "dataset": request.name, "data_dir": request.location or None, "layout": request.layout,
    }  # fmt: skip
    return find_image_set(spec_from_mapping(given))


WORK: Final[Mapping[type, Callable[[Any, Tell], object]]] = {
    ListDatasets: _list,
    DescribeDataset: _describe,
    AddDataset: _add,
    FetchDataset: _fetch,
    ShiftDataset: _shift,
    SplitDataset: _split,
    CacheDataset: _cache,
    CheckDataset: _check,
    RemoveDataset: _remove,
    RenameDataset: _rename,
}
"""Request → what does it and returns the answer."""


def tell(report: WorkReport) -> None:
    """Write one line to stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def main(arguments: list[str]) -> int:
    """Do what is asked and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    [encoded] = arguments
    request = msgspec.json.decode(encoded, type=DatasetRequest)
    try:
        answer = WORK[type(request)](request, tell)
    except InputError as error:
        tell(WorkRefused(str(error)))
        return REFUSED_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED_EXIT
    tell(WorkDone(msgspec.Raw(msgspec.json.encode(answer))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
