"""What is asked of ``python -m engine.datasets``, and what it answers.

The process is given one request as JSON on its command line and writes one JSON object a line to
stdout: any number of :class:`WorkProgress` and :class:`WorkNote`, then :class:`WorkDone`, or
:class:`WorkRefused` and exit code 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.protocol.extras import install_command
from engine.protocol.fields import SpecError, nearest
from engine.protocol.recipes import too_few_to_split
from engine.protocol.spec import NO_TARGET, Layout

EMBEDDED_DATASETS: Final = ("emoji",)
"""Data sets that come with the program."""
EMBEDDED_DOMAINS: Final = {"emoji": ("fluent", "fluent-mono", "noto", "twemoji")}
"""The domains of each."""
STUDY_DATASETS: Final = ("PACS", "VLCS", "OfficeHome", "TerraIncognita", "DomainNet")
"""Published data sets that the program knows of."""
TILE: Final = 96
"""Side in pixels of the images in ``CheckDataset.tiles``."""


class LeftOut(msgspec.Struct, frozen=True):
    """Files or folders of one kind that are not among the images of a data set.

    Attributes:
        kind: what they are, such as ``.heic``, ``thumbnails in @eaDir`` or ``hidden folders``.
        count: how many.
        example: path of one of them, below the folder or in the archive; of hidden folders, which
            may have been meant as domains or classes, the paths of three.
    """

    kind: str
    count: int
    example: str


HEIC_KINDS: Final = (".heic", ".heif", ".hif")
"""Kinds of files that are read once the extra ``heic`` is installed."""


def left_out_text(left_out: Sequence[LeftOut]) -> str:
    """Return ``left out: 60 .heic, 1 hidden folder (.red)``; empty when nothing was left out."""
    if not left_out:
        return ""
    text = f"left out: {', '.join(_left_out_words(each) for each in left_out)}"
    if any(each.kind in HEIC_KINDS for each in left_out):
        text += f" (HEIC is read after: {install_command('heic')})"
    return text


def _left_out_words(left_out: LeftOut) -> str:
    """Return one kind with its count, and the name of the only one of it."""
    if left_out.count > 1 or left_out.kind.startswith("."):
        folders = left_out.example if left_out.kind == "hidden folders" else ""
        more = ", …" if left_out.count > folders.count(",") + 1 else ""
        return f"{left_out.count:,} {left_out.kind}" + (f" ({folders}{more})" if folders else "")
    words = left_out.kind.replace("their", "its").replace("rows that repeat", "row that repeats")
    words = words.replace("photo libraries", "photo library").replace("members", "member")
    for plural in ("folders", "files", "thumbnails", "images", "links", "downloads", "bins"):
        words = words.replace(plural, plural[:-1], 1)
    return f"1 {words} ({left_out.example})"


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
        layout: how its folders are read, ``table`` for a table; None when nothing is here.
        reading: a sentence on that; empty where it goes without saying.
        left_out: what lies there and is not among the images.
        mismatch: how it differs from the published data set of that name in domains or classes;
            None: it has those, or another name.
        problem: why no run can be made of it; None: nothing is known that would keep one from it.
    """

    name: str
    domains: tuple[DomainListing, ...]
    classes: tuple[str, ...]
    where: str | None
    complete: bool
    size_bytes: int = 0
    notes: tuple[str, ...] = ()
    layout: str | None = None
    reading: str = ""
    left_out: tuple[LeftOut, ...] = ()
    mismatch: str | None = None
    problem: str | None = None


class ListDatasets(msgspec.Struct, frozen=True, tag="ls"):
    """Answered by ``list[DatasetListing]``. ``root`` is the folder of added data sets."""

    root: str


class DescribeDataset(msgspec.Struct, frozen=True, tag="describe"):
    """Say what a folder or archive of images holds; answered by :class:`DatasetListing`.

    Attributes:
        location: folder, archive or folder of a card.
        name: of the data set.
        layout: how the folders are read; ``auto`` recognizes it.
    """

    location: str
    name: str
    layout: Layout = "auto"


class AddDataset(msgspec.Struct, frozen=True, tag="add"):
    """Register images under a name; answered by :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: folder of domain/class/image, CSV table, archive, parquet file or a folder of them.
        domains: those that are used; None: all.
        exclude: file of paths that are left out, one a line.
        keep_missing_classes: a class that a domain lacks stays in the label space.
        layout: how the folders are read; ``auto`` recognizes it.
        path_column: of a CSV table.
        group_column: of a CSV table: images of one value are all trained on or all held out.
        image_column: of parquet files.
        label_column: of either.
        domain_column: of either.
        replaces: the data set of that name, if there is one, is replaced.
    """

    root: str
    name: str
    path: str
    domains: tuple[str, ...] | None = None
    exclude: str | None = None
    keep_missing_classes: bool = False
    layout: Layout = "auto"
    path_column: str = "path"
    group_column: str | None = None
    label_column: str = "label"
    domain_column: str = "domain"
    image_column: str = "image"
    replaces: bool = False


class FetchDataset(msgspec.Struct, frozen=True, tag="fetch"):
    """Download a data set of the study; answered by :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: of the study's set.
    """

    root: str
    name: str


class ShiftDataset(msgspec.Struct, frozen=True, tag="shift"):
    """Make domains of a folder of ``class/image`` by corrupting images; answered by
    :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: the folder.
        corruptions: names of groups or of single ones; ``all``: every group.
        severities: from 1 to 5; several make a domain each.
        paired: every image is in every domain; else in one.
        image_size: side of the squares that images are first resized to, in pixels.
        seed: of which image goes where, and of the corruptions.
        layout: how the folder is read: ``class`` or ``split/class``; ``auto`` recognizes it.
    """

    root: str
    name: str
    path: str
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    paired: bool
    image_size: int
    seed: int
    layout: Layout = "auto"


class SplitDataset(msgspec.Struct, frozen=True, tag="split"):
    """Make domains of a folder of ``class/image`` by a table; answered by
    :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: the folder.
        table: CSV file.
        path_column: of the images' paths below the folder, or their names.
        domain_column: of their domains.
        layout: how the folder is read: ``class`` or ``split/class``; ``auto`` recognizes it.
    """

    root: str
    name: str
    path: str
    table: str
    path_column: str
    domain_column: str
    layout: Layout = "auto"


class RemoveDataset(msgspec.Struct, frozen=True, tag="rm"):
    """Delete a data set that was added; answered by :class:`NamedSet`, as it was.

    Attributes:
        root: folder of added data sets.
        name: of the data set.
        is_trial: only answer.
    """

    root: str
    name: str
    is_trial: bool = False


class RenameDataset(msgspec.Struct, frozen=True, tag="mv"):
    """Give a data set that was added another name; answered by :class:`NamedSet`.

    Attributes:
        root: folder of added data sets.
        name: that it has.
        new_name: that it gets.
    """

    root: str
    name: str
    new_name: str


class NamedSet(msgspec.Struct, frozen=True):
    """The folder of a data set that was added.

    Attributes:
        name: for ``--dataset``.
        folder: with its card, and its images where they were imported.
        in_place: where its images were registered in place; None: they were imported.
        files: in the folder, without the card.
        size_bytes: of those files.
    """

    name: str
    folder: str
    in_place: str | None
    files: int
    size_bytes: int


class CacheDataset(msgspec.Struct, frozen=True, tag="cache"):
    """Decode every image ahead; answered by :class:`CacheListing`.

    Attributes:
        location: folder, archive or folder of a card; empty: the embedded one of that name.
        image_size: side in pixels.
        cache_dir: folder of caches.
        name: of the data set.
        layout: how the folders are read; ``auto`` recognizes it.
    """

    location: str
    image_size: int
    cache_dir: str
    name: str
    layout: Layout = "auto"


class CacheListing(msgspec.Struct, frozen=True):
    """A cache: images, those that cannot be read (path: why), and its size."""

    images: int
    unreadable: dict[str, str]
    size_bytes: int


class CheckDataset(msgspec.Struct, frozen=True, tag="check"):
    """Look a data set over; answered by :class:`CheckReport`.

    Attributes:
        location: folder, archive or folder of a card; empty: the embedded one of that name.
        name: of the data set.
        near_distance: bits of 64 in which near duplicates may differ; 0: exact ones only.
        sheet: PNG file to draw a sample of every class and domain into; None: none.
        tiles: PNG file for one image of every class (down) and domain (across), unlabelled
            squares of ``TILE`` pixels; None: none.
        layout: how the folders are read; ``auto`` recognizes it.
        validation_fraction: share of each domain that a run holds out.
    """

    location: str
    name: str
    near_distance: int
    sheet: str | None = None
    tiles: str | None = None
    layout: Layout = "auto"
    validation_fraction: float = 0.2


class Duplicate(msgspec.Struct, frozen=True):
    """Two images of the same content, or that look alike.

    Attributes:
        one: path of the first.
        other: path of the second; the same where a table lists a file twice.
        bits: of a perceptual hash that differ; 0 for the same content.
        one_in: domain and class of the first, as ``domain/class``.
        other_in: domain and class of the second.
    """

    one: str
    other: str
    bits: int
    one_in: str
    other_in: str


class Finding(msgspec.Struct, frozen=True):
    """Something found; ``spoils``: a run on it would fail or mean little."""

    spoils: bool
    text: str


class CheckReport(msgspec.Struct, frozen=True):
    """What a data set is like.

    Attributes:
        name: of the data set.
        where: folder or archive.
        classes: sorted.
        counts: images by domain and class.
        unreadable: path: why.
        modes: PIL's modes, such as RGB, and how many images have each.
        formats: file formats, and how many images have each.
        short_sides: least, median and largest shorter side in pixels.
        exact_duplicates: files of the same content, each with the first of its kind.
        near_duplicates: images of different domains that look alike, the first ones.
        near_copies: images of one domain that are nearly the same, the first ones.
        findings: what would spoil a run, then what is worth knowing.
        layout: how its folders are read, ``table`` for a table.
        reading: a sentence on that; empty where it goes without saying.
        left_out: what lies there and is not among the images.
        near_duplicate_count: all pairs of different domains that look alike.
        near_copy_count: all pairs of one domain that are nearly the same.
    """

    name: str
    where: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    unreadable: dict[str, str]
    modes: dict[str, int]
    formats: dict[str, int]
    short_sides: tuple[int, int, int] | None
    exact_duplicates: tuple[Duplicate, ...]
    near_duplicates: tuple[Duplicate, ...]
    findings: tuple[Finding, ...]
    layout: str = "plain"
    reading: str = ""
    left_out: tuple[LeftOut, ...] = ()
    near_copies: tuple[Duplicate, ...] = ()
    near_duplicate_count: int = 0
    near_copy_count: int = 0


DatasetRequest = (
    ListDatasets
    | DescribeDataset
    | AddDataset
    | FetchDataset
    | ShiftDataset
    | SplitDataset
    | CacheDataset
    | CheckDataset
    | RemoveDataset
    | RenameDataset
)
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


def check_target(dataset: str, domains: Sequence[str], target: str | None) -> str | None:
    """Return the domain that is left out of training; None: none is.

    Raises:
        SpecError: when several domains leave a choice that was not made, or it is not one of
            them, or there is only one.
    """
    known = ", ".join(domains)
    if target == NO_TARGET and NO_TARGET in domains:
        raise SpecError(
            f"{dataset} has a domain called {NO_TARGET!r}, which --target {NO_TARGET} does not "
            "mean: rename that domain, or choose another target."
        )
    if target == NO_TARGET or (target is None and len(domains) == 1):
        return None
    if target is None:
        raise SpecError(
            f"Which domain of {dataset} is left out of training? Choose one with --target: "
            f"{known}; or {NO_TARGET}, to train on all of them without an OOD accuracy."
        )
    if len(domains) == 1:
        raise SpecError(
            f"{dataset} has one domain, {known}, so {target!r} cannot be left out of training. "
            f"Give --target {NO_TARGET}, or make domains: vld data shift."
        )
    if target not in domains:
        raise SpecError(
            f"{dataset} has no domain {target!r}; choose one with --target: {known}."
            f"{nearest(target, [*domains, NO_TARGET])}"
        )
    return target


def check_held_out_source(
    dataset: str, domains: Sequence[str], name: str | None, target: str | None
) -> str | None:
    """Return the source that is left out of training as well; None: none is.

    Raises:
        SpecError: when it is the target, not one of the data set's domains, or the only source.
    """
    if name is None:
        return None
    sources = [domain for domain in domains if domain != target]
    if name not in sources:
        raise SpecError(
            f"{name!r} is not a source domain of {dataset} with target {target or NO_TARGET}; "
            f"choose one with --held-out-source: {', '.join(sources)}.{nearest(name, sources)}"
        )
    if len(sources) == 1:
        raise SpecError(f"{name} is the only source of {dataset}: nothing is left to train.")
    return name


def check_splits(
    dataset: str, images: Mapping[str, int], validation_fraction: float
) -> dict[str, int]:
    """Return how many images of each domain are held out for validation.

    Raises:
        SpecError: when some domains are too small; the message names them.
    """
    found = {
        domain: too_few_to_split(count, validation_fraction) for domain, count in images.items()
    }
    problems = {domain: problem for domain, problem in found.items() if problem}
    if problems:
        (domain, problem), *others = problems.items()
        also = f" So do those of {', '.join(name for name, _ in others)}." if others else ""
        raise SpecError(f"Domain {domain} of {dataset}: {problem}{also}")
    return {domain: int(count * validation_fraction) for domain, count in images.items()}
