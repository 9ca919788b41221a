"""What is asked of ``python -m engine.datasets``, and what it answers.

The process is given one request as JSON on its command line and writes one JSON object a line to
stdout: any number of :class:`WorkProgress` and :class:`WorkNote`, then :class:`WorkDone`, or
:class:`WorkRefused` and exit code 2.
"""

from __future__ import annotations

import msgspec


class DomainListing(msgspec.Struct, frozen=True):
    """A domain and its number of images; ``expected`` is the published number, if there is one."""

    name: str
    images: int
    expected: int | None = None


class DatasetListing(msgspec.Struct, frozen=True):
    """A data set that ``--dataset`` takes.

    Attributes:
        name: for ``--dataset``.
        domains: with their numbers of images; those expected, with 0 images, when nothing is here.
        classes: sorted names.
        where: folder or archive; None when nothing is here.
        complete: every expected image is here, as far as counts tell.
        size_bytes: of the image files.
        notes: known differences, and how to get it when it is not here.
    """

    name: str
    domains: tuple[DomainListing, ...]
    classes: tuple[str, ...]
    where: str | None
    complete: bool
    size_bytes: int = 0
    notes: tuple[str, ...] = ()


class ListDatasets(msgspec.Struct, frozen=True, tag="ls"):
    """Answered by ``list[DatasetListing]``. ``root`` is the folder of added data sets."""

    root: str


class AddDataset(msgspec.Struct, frozen=True, tag="add"):
    """Register images under a name; answered by :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: folder of domain/class/image, or a CSV table.
        domains: those that are used; None: all.
        exclude: file of paths that are left out, one a line.
        keep_missing_classes: a class that a domain lacks stays in the label space.
        path_column: of a table.
        label_column: of a table.
        domain_column: of a table.
    """

    root: str
    name: str
    path: str
    domains: tuple[str, ...] | None = None
    exclude: str | None = None
    keep_missing_classes: bool = False
    path_column: str = "path"
    label_column: str = "label"
    domain_column: str = "domain"


class CacheDataset(msgspec.Struct, frozen=True, tag="cache"):
    """Decode every image ahead; answered by :class:`CacheListing`.

    Attributes:
        location: folder, archive or folder of a card; empty: the embedded one of that name.
        image_size: side in pixels.
        cache_dir: folder of caches.
        name: of the data set.
    """

    location: str
    image_size: int
    cache_dir: str
    name: str


class CacheListing(msgspec.Struct, frozen=True):
    """A cache: images, those that cannot be read (path: why), and its size."""

    images: int
    unreadable: dict[str, str]
    size_bytes: int


DatasetRequest = ListDatasets | AddDataset | CacheDataset
"""Everything ``python -m engine.datasets`` does."""


class WorkProgress(msgspec.Struct, frozen=True, tag="progress"):
    """So many of a piece of work are done; ``total`` is None while it is not known."""

    what: str
    done: int
    total: int | None
    unit: str


class WorkNote(msgspec.Struct, frozen=True, tag="note"):
    """Something a person should know, though the work goes on."""

    text: str


class WorkDone(msgspec.Struct, frozen=True, tag="done"):
    """The work is done; ``answer`` is the JSON of what the request says."""

    answer: msgspec.Raw


class WorkRefused(msgspec.Struct, frozen=True, tag="refused"):
    """The work cannot be done; ``message`` says what, where and what to do."""

    message: str


WorkReport = WorkProgress | WorkNote | WorkDone | WorkRefused
