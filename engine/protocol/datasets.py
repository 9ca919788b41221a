"""Requests to ``python -m engine.datasets`` and its answers, see :mod:`engine.protocol.work`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.protocol.extras import install_command
from engine.protocol.fields import SpecError, nearest
from engine.protocol.recipes import too_few_to_split
from engine.protocol.spec import NO_TARGET, Layout

STUDY_DATASETS: Final = ("PACS", "VLCS", "OfficeHome", "TerraIncognita", "DomainNet", "objects")
"""Published data sets with known domains, classes and download instructions."""
TILE: Final = 96
"""Side in pixels of the images in ``CheckDataset.tiles``."""
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


class LeftOut(msgspec.Struct, frozen=True):
    """Ignored files or folders of one kind.

    Attributes:
        kind: such as ``.heic``, ``thumbnails in @eaDir`` or ``hidden folders``.
        count: how many.
        example: path of one of them, relative to the folder or archive; for hidden folders, which
            may be domains or classes, up to three paths.
    """

    kind: str
    count: int
    example: str


HEIC_KINDS: Final = (".heic", ".heif", ".hif")
"""File kinds that need the extra ``heic``."""


def left_out_text(left_out: Sequence[LeftOut]) -> str:
    """Return ``left out: 60 .heic, 1 hidden folder (.red)``, or an empty string."""
    if not left_out:
        return ""
    text = f"left out: {', '.join(_left_out_words(each) for each in left_out)}"
    if any(each.kind in HEIC_KINDS for each in left_out):
        text += f" (to read HEIC: {install_command('heic')})"
    return text


def _left_out_words(left_out: LeftOut) -> str:
    """Return the count and kind, with the name if there is only one."""
    if left_out.count > 1 or left_out.kind.startswith("."):
        folders = left_out.example if left_out.kind == "hidden folders" else ""
        more = ", …" if left_out.count > folders.count(",") + 1 else ""
        return f"{left_out.count:,} {left_out.kind}" + (f" ({folders}{more})" if folders else "")
    words = left_out.kind.replace("their", "its").replace("rows that repeat", "row that repeats")
    words = words.replace("photo libraries", "photo library").replace("members", "member")
    for plural in (
        "folders",
        "files",
        "thumbnails",
        "images",
        "labels",
        "links",
        "downloads",
        "bins",
    ):
        words = words.replace(plural, plural[:-1], 1)
    return f"1 {words} ({left_out.example})"


class DomainListing(msgspec.Struct, frozen=True):
    """A domain and its number of images; ``expected`` is the published number, if known."""

    name: str
    images: int
    expected: int | None = None


class DatasetListing(msgspec.Struct, frozen=True):
    """A data set that ``--dataset`` accepts.

    Attributes:
        name: for ``--dataset``.
        domains: with image counts; if not downloaded, the expected domains with 0 images.
        classes: sorted names.
        where: folder or archive; None if not downloaded.
        complete: whether all expected images are present, judged by their counts.
        size_bytes: of the image files.
        notes: known differences, and how to get it if it is missing.
        layout: folder layout, ``table`` for a table; None if not downloaded.
        reading: a sentence on the layout; may be empty.
        left_out: files and folders that were ignored.
        mismatch: how domains or classes differ from the published data set of that name, if so.
        problem: why no run can use it; None if no reason is known.
        licenses: licence of the images by domain, if known.
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
    licenses: dict[str, str] = {}


class ListDatasets(msgspec.Struct, frozen=True, tag="ls"):
    """List data sets. Response: ``list[DatasetListing]``. ``root``: folder of added data sets."""

    root: str


class DescribeDataset(msgspec.Struct, frozen=True, tag="describe"):
    """Describe a folder or archive of images. Response: :class:`DatasetListing`.

    Attributes:
        location: folder, archive or folder of a card.
        name: of the data set.
        layout: folder layout; ``auto`` detects it.
        exclude: exclude list; None: none.
    """

    location: str
    name: str
    layout: Layout = "auto"
    exclude: str | None = None


class CountOutliers(msgspec.Struct, frozen=True, tag="outliers"):
    """Count the image files of a run's outliers. Response: ``int``, of at least 1.

    Attributes:
        outliers: folder, or name of an embedded data set.
        classes: of the run, whose images of an embedded data set do not count.
    """

    outliers: str
    classes: tuple[str, ...]


class AddDataset(msgspec.Struct, frozen=True, tag="add"):
    """Register images under a name. Response: :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: folder of domain/class/image, CSV table, archive, parquet file or folder of these.
        domains: domains to use; None: all.
        exclude: exclude list, see :mod:`engine.protocol.exclude_lists`.
        keep_missing_classes: keep classes that some domain lacks.
        layout: folder layout; ``auto`` detects it.
        path_column: image path column of a CSV table.
        group_column: group column of a CSV table; a group is trained on or held out as a whole.
        image_column: image column of parquet files.
        label_column: label column of either.
        domain_column: domain column of either.
        replaces: whether to replace an existing data set of that name.
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
    """Download one of :data:`STUDY_DATASETS`. Response: :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: of the data set.
        packages: Debian packages (.deb files) to use instead of downloading them.
    """

    root: str
    name: str
    packages: tuple[str, ...] = ()


class ShiftDataset(msgspec.Struct, frozen=True, tag="shift"):
    """Create domains from a folder of ``class/image`` by corrupting images.

    Response: :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: the folder.
        corruptions: names of groups or single corruptions; ``all``: every group.
        severities: from 1 to 5; with several, one domain for each.
        paired: whether each image is in every domain rather than in one.
        image_size: side of the squares that images are resized to first, in pixels.
        seed: of the assignment to domains and of the corruptions.
        layout: ``class``, ``split/class`` or ``auto``.
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
    """Create domains from a folder of ``class/image`` and a table. Response:
    :class:`DatasetListing`.

    Attributes:
        root: folder of added data sets.
        name: for ``--dataset``.
        path: the folder.
        table: CSV file.
        path_column: column of the images' paths relative to the folder, or of their names.
        domain_column: column of their domains.
        layout: ``class``, ``split/class`` or ``auto``.
    """

    root: str
    name: str
    path: str
    table: str
    path_column: str
    domain_column: str
    layout: Layout = "auto"


class RemoveDataset(msgspec.Struct, frozen=True, tag="rm"):
    """Delete an added data set. Response: :class:`NamedSet`, as before the deletion.

    Attributes:
        root: folder of added data sets.
        name: of the data set.
        is_trial: respond without deleting anything.
    """

    root: str
    name: str
    is_trial: bool = False


class RenameDataset(msgspec.Struct, frozen=True, tag="mv"):
    """Rename an added data set. Response: :class:`NamedSet`.

    Attributes:
        root: folder of added data sets.
        name: current name.
        new_name: new name.
    """

    root: str
    name: str
    new_name: str


class NamedSet(msgspec.Struct, frozen=True):
    """The folder of an added data set.

    Attributes:
        name: for ``--dataset``.
        folder: holds the card, and the images if they were imported.
        in_place: path of the images if they were registered in place, else None.
        files: number of files in the folder, without the card.
        size_bytes: of those files.
    """

    name: str
    folder: str
    in_place: str | None
    files: int
    size_bytes: int


class CacheDataset(msgspec.Struct, frozen=True, tag="cache"):
    """Decode all images into the cache. Response: :class:`CacheListing`.

    Attributes:
        location: folder, archive or folder of a card; empty: the embedded data set ``name``.
        image_size: side in pixels.
        cache_dir: folder of caches.
        name: of the data set.
        layout: folder layout; ``auto`` detects it.
        exclude: exclude list; None: none.
    """

    location: str
    image_size: int
    cache_dir: str
    name: str
    layout: Layout = "auto"
    exclude: str | None = None


class CacheListing(msgspec.Struct, frozen=True):
    """A cache: number of images, unreadable ones (path: reason), and its size."""

    images: int
    unreadable: dict[str, str]
    size_bytes: int


class ListCache(msgspec.Struct, frozen=True, tag="list_cache"):
    """List cached images and features. Response: list of :class:`CacheEntry`.

    Attributes:
        cache_dir: folder of caches.
        name: only those of this data set; None: all.
    """

    cache_dir: str
    name: str | None = None


class RemoveCache(msgspec.Struct, frozen=True, tag="remove_cache"):
    """Remove cached images and features. Response: the removed :class:`CacheEntry` list.

    Entries that a process is making or opening are kept.

    Attributes:
        cache_dir: folder of caches.
        keys: of the entries.
    """

    cache_dir: str
    keys: tuple[str, ...]


class CacheEntry(msgspec.Struct, frozen=True):
    """Something that was computed once and stored: images, or features of one view of them.

    Attributes:
        key: name of the entry.
        kind: ``images`` or ``features``.
        size_bytes: of its files.
        used_at: when it was last used (Unix s).
        dataset: name of the data set; None: unknown, as in entries of older versions.
        image_size: side in pixels.
        model: network of features.
        features: kind of features.
        weights: begin of the digest of the network's weights.
        view: number of the augmented view; ``plain``: without augmentation.
    """

    key: str
    kind: str
    size_bytes: int
    used_at: float
    dataset: str | None = None
    image_size: int | None = None
    model: str | None = None
    features: str | None = None
    weights: str | None = None
    view: int | str | None = None


class CheckDataset(msgspec.Struct, frozen=True, tag="check"):
    """Check a data set for problems. Response: :class:`CheckReport`.

    Attributes:
        location: folder, archive or folder of a card; empty: the embedded data set ``name``.
        name: of the data set.
        near_distance: maximum number of the 64 hash bits in which near duplicates differ; 0: find
            only exact duplicates.
        sheet: PNG file for a sample of every class and domain; None: none.
        tiles: PNG file with one image for each class (row) and domain (column), unlabelled squares
            of ``TILE`` pixels; None: none.
        layout: folder layout; ``auto`` detects it.
        exclude: exclude list; None: none.
        validation_fraction: fraction of each domain that runs hold out.
    """

    location: str
    name: str
    near_distance: int
    sheet: str | None = None
    tiles: str | None = None
    layout: Layout = "auto"
    validation_fraction: float = 0.2
    exclude: str | None = None


class Duplicate(msgspec.Struct, frozen=True):
    """Two images with the same content or a similar look.

    Attributes:
        one: path of the first.
        other: path of the second; the same path if a table lists a file twice.
        bits: number of differing bits of a perceptual hash; 0 for the same content.
        one_in: domain and class of the first, as ``domain/class``.
        other_in: domain and class of the second.
    """

    one: str
    other: str
    bits: int
    one_in: str
    other_in: str


class Finding(msgspec.Struct, frozen=True):
    """A problem or remark; ``spoils``: a run would fail or its results would be misleading."""

    spoils: bool
    text: str


class CheckReport(msgspec.Struct, frozen=True):
    """The result of a data set check.

    Attributes:
        name: of the data set.
        where: folder or archive.
        classes: sorted.
        counts: images by domain and class.
        unreadable: reason by path.
        modes: number of images by PIL mode, such as RGB.
        formats: number of images by file format.
        short_sides: minimum, median and maximum shorter side in pixels.
        exact_duplicates: files of the same content, each paired with the first such file.
        near_duplicates: similar images of different domains, the first ones.
        near_copies: nearly identical images of one domain, the first ones.
        findings: problems first, then remarks.
        layout: folder layout, ``table`` for a table.
        reading: a sentence on the layout; may be empty.
        left_out: files and folders that were ignored.
        near_duplicate_count: number of all pairs of ``near_duplicates``.
        near_copy_count: number of all pairs of ``near_copies``.
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
    | CountOutliers
    | AddDataset
    | FetchDataset
    | ShiftDataset
    | SplitDataset
    | CacheDataset
    | ListCache
    | RemoveCache
    | CheckDataset
    | RemoveDataset
    | RenameDataset
)
"""Every request that ``python -m engine.datasets`` accepts."""


def add_command(name: str, path: str | Path, *options: str) -> str:
    """Return the command that adds images under a name, or one like it that is allowed."""
    return shlex.join(["vld", "data", "add", allowed_name(name, path), str(path), *options])


def allowed_name(name: str, path: str | Path) -> str:
    """Return a name like a given one under which the images at a path can be added."""
    if name == Path(path).name:
        name = name.partition(".")[0]
    return _NOT_IN_NAMES.sub("-", name).strip("-._") or "NAME"


def unknown_dataset(name: str, known: Iterable[str]) -> str:
    """Return the error message for an unknown data set name."""
    return f"no data set named {name!r}.{nearest(name, known)}  List them with: vld data ls"


def check_target(dataset: str, domains: Sequence[str], target: str | None) -> str | None:
    """Return the domain to leave out of training, or None.

    Raises:
        SpecError: if there are several domains and no target, the target is not one of them, or it
            is the only domain.
    """
    known = ", ".join(domains)
    if target == NO_TARGET and NO_TARGET in domains:
        raise SpecError(
            f"--target {NO_TARGET} is ambiguous: {dataset} has a domain named {NO_TARGET!r}. "
            "Rename that domain or choose another target."
        )
    if target == NO_TARGET or (target is None and len(domains) == 1):
        return None
    if target is None:
        raise SpecError(
            f"{dataset} needs a --target, the domain to leave out of training: {known}; or "
            f"{NO_TARGET} to train on all domains (no OOD accuracy)."
        )
    if len(domains) == 1:
        raise SpecError(
            f"{dataset} has only one domain, {known}, so {target!r} cannot be left out of "
            f"training. Use --target {NO_TARGET}, or create domains with: vld data shift"
        )
    if target not in domains:
        raise SpecError(
            f"{dataset} has no domain {target!r}.{nearest(target, domains)} Choose a "
            f"--target: {known}; {NO_TARGET} trains on all domains."
        )
    return target


def check_held_out_source(
    dataset: str, domains: Sequence[str], name: str | None, target: str | None
) -> str | None:
    """Return the source domain to leave out of training as well, or None.

    Raises:
        SpecError: if it is the target, not a domain of the data set, or the only source.
    """
    if name is None:
        return None
    sources = [domain for domain in domains if domain != target]
    if name not in sources:
        raise SpecError(
            f"{name!r} is not a source domain of {dataset} with target {target or NO_TARGET}."
            f"{nearest(name, sources)} Choose a --held-out-source: {', '.join(sources)}."
        )
    if len(sources) == 1:
        raise SpecError(
            f"{name} is the only source domain of {dataset}; holding it out leaves nothing to "
            "train on. Drop --held-out-source."
        )
    return name


def check_splits(
    dataset: str, images: Mapping[str, int], validation_fraction: float
) -> dict[str, int]:
    """Return how many images of each domain are held out for validation.

    Raises:
        SpecError: if domains are too small; the message names them.
    """
    found = {
        domain: too_few_to_split(count, validation_fraction) for domain, count in images.items()
    }
    problems = {domain: problem for domain, problem in found.items() if problem}
    if problems:
        (domain, problem), *others = problems.items()
        also = f" Also too small: {', '.join(name for name, _ in others)}." if others else ""
        raise SpecError(f"Domain {domain} of {dataset}: {problem}{also}")
    return {domain: int(count * validation_fraction) for domain, count in images.items()}
