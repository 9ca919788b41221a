"""Registration of images under a name: detect the layout and write the card."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec
from msgspec.structs import replace

from engine.datasets.archives import is_archive, unpack
from engine.datasets.card import DatasetCard, TableColumns, read_card, write_card
from engine.datasets.catalog import describe
from engine.datasets.corrections import CorrectedSource, read_corrections
from engine.datasets.folders import ImageSet
from engine.datasets.named_sets import (
    IMAGES,
    check_name,
    check_published_name,
    check_replaceable,
    put_in_place,
    staged,
)
from engine.datasets.parquet import ImageColumns, find_tables, write_images
from engine.datasets.sources import FolderSource, ImageSource
from engine.datasets.study_sets import (
    STUDY_SETS,
    arrange_camera_traps,
    find_annotations,
)
from engine.datasets.tables import TABLE_SUFFIXES, TableSource, missing_note
from engine.errors import DataError
from engine.protocol.datasets import AddDataset, DatasetListing
from engine.protocol.work import WorkNote
from engine.work import Reporter, progress_of


def add_dataset(request: AddDataset, report: Reporter) -> DatasetListing:
    """Register images under a name.

    Folders and tables stay in place. Archives, parquet files and raw camera-trap images are
    imported into the data set's folder, which appears when it is complete.

    Raises:
        DataError: if the name is invalid or taken, or the images cannot be used; nothing is left
            behind.
    """
    folder = Path(request.root) / request.name
    check_name(
        request.name,
        folder,
        takes_over=request.name if request.replaces else None,
        instead="Choose another name, replace it with --replace, or remove it",
    )
    if request.replaces:
        check_replaceable(folder)
        if Path(request.path).is_relative_to(folder):
            raise DataError(f"{request.path} is inside the folder of the data set {request.name}.")
    with staged(folder, put_in_place if request.replaces else Path.rename) as stage:
        listing = register(_start_card(request, stage, report), stage, folder, request)
    card = read_card(folder)
    return listing if card is None else replace(listing, where=str(folder / card.root))


def _start_card(request: AddDataset, stage: Path, report: Reporter) -> DatasetCard:
    """Import the images if needed and return a card with their location."""
    path = Path(os.path.expanduser(request.path)).absolute()
    if path.suffix.lower() in TABLE_SUFFIXES:
        _refuse_layout(request, "a table states the domain and class of every image")
        columns = TableColumns(
            request.path_column, request.label_column, request.domain_column, request.group_column
        )
        return DatasetCard(request.name, str(path), table=columns)
    if request.group_column is not None:
        raise DataError(f"--group-column is only for tables, but {path} is not a table.")
    if not path.exists():
        raise DataError(f"no file or folder {path}.")
    imported = DatasetCard(request.name, IMAGES, origin=str(path))  # as domain/class
    images = stage / IMAGES
    if path.is_file() and is_archive(path):
        images.mkdir()
        unpack(path, images, progress_of(report, "unpacking", "MiB", 2**20))
        return replace(imported, layout=request.layout)
    if tables := find_tables(path):
        _refuse_exclusions(request, "rows of parquet files have no names")
        _refuse_layout(request, "parquet files have columns of domains and labels")
        named = ImageColumns(request.image_column, request.label_column, request.domain_column)
        write_images(tables, images, named, progress_of(report, "importing", "images"))
        return imported
    if not path.is_dir():
        raise DataError(
            f"{path} is not a folder of domain/class/image or a supported file (CSV table, parquet "
            "file, zip or tar archive)."
        )
    if annotations := find_annotations(path):
        _refuse_exclusions(request, "annotations select the images")
        _refuse_layout(request, "annotations state domains and classes")
        missing = arrange_camera_traps(
            annotations, images, progress_of(report, "placing", "images")
        )
        if missing:
            report(WorkNote(f"{len(missing)} annotated images are missing: {missing[0]}, …"))
        return imported
    return DatasetCard(request.name, str(path), layout=request.layout)


def _refuse_layout(request: AddDataset, why: str) -> None:
    if request.layout != "auto":
        raise DataError(f"--layout is only for folders and archives: {why}.")


def _refuse_exclusions(request: AddDataset, why: str) -> None:
    if request.exclude is not None:
        raise DataError(
            f"--exclude is only for folders, archives and tables: {why}. Pass it to vld run "
            "instead."
        )


def register(card: DatasetCard, stage: Path, folder: Path, request: AddDataset) -> DatasetListing:
    """Check the images, complete the card and write it.

    Args:
        card: location of the images, in the stage or elsewhere.
        stage: folder being filled.
        folder: its final path.
        request: domains, exclusions, classes; its path is named in errors.

    Raises:
        DataError: if the images cannot be used.
    """
    try:
        whole = _whole_source(card, stage)
        card = complete_card(card, whole, request)
        card, notes = _with_corrections(card, whole, request.exclude)
        is_whole = card.domains is None and not card.corrections
        image_set = ImageSet(request.name, whole if is_whole else card.source(stage), card.classes)
        check_published_name(request.name, image_set)
        if isinstance(whole, TableSource) and whole.missing:
            notes = (*notes, missing_note(whole.missing))
    except DataError as error:  # show the user's path, not the stage's
        raise DataError(str(error).replace(str(stage / IMAGES), request.path)) from None
    except OSError as error:
        raise DataError(f"{request.path} cannot be read: {error}.") from None
    images = Counter(file.domain for file in image_set.files)
    card = replace(card, images=dict(sorted(images.items())))
    write_card(stage, card)
    listing = describe(request.name, image_set, card)
    where, notes = str(folder / card.root), (*listing.notes, *notes)
    return replace(listing, where=where, notes=notes)


def _whole_source(card: DatasetCard, stage: Path) -> ImageSource:
    """Return the source of all images at a card's root, with its layout."""
    if card.table is not None:
        return card.source(stage)
    return FolderSource(stage / card.root, card.layout)


def _with_corrections(
    card: DatasetCard, whole: ImageSource, exclude: str | None
) -> tuple[DatasetCard, tuple[str, ...]]:
    """Return a card with the exclude list of a file, and notes on lines that match no image.

    Only a plain list of paths may have such lines: published lists also name images that some
    copies lack.

    Args:
        card: the card.
        whole: all images at its root.
        exclude: the file; None: no list.

    Raises:
        DataError: if the list cannot be read, or lists images that do not exist.
    """
    if exclude is None:
        return card, ()
    corrections = read_corrections(exclude)
    corrected = CorrectedSource(whole, corrections)
    mismatch = corrected.mismatch()
    if mismatch and (corrections.must_match or not corrected.matched):
        raise DataError(mismatch)
    known = corrected.matched.excluded.union(corrected.unmatched)
    card = replace(
        card, excluded=known,  # without the others, older versions can read it
        relabelled=dict(corrected.matched.relabelled) or msgspec.UNSET,
        chosen_on=corrections.chosen_on or msgspec.UNSET,
    )  # fmt: skip
    return card, ((f"! {mismatch}",) if mismatch else ())


def complete_card(card: DatasetCard, source: ImageSource, request: AddDataset) -> DatasetCard:
    """Return a card completed from its folder or table and the request.

    Args:
        card: has its root, and the columns of a table.
        source: all images there.
        request: domains, classes.

    Raises:
        DataError: if requested domains do not exist.
    """
    if (reading := source.reading) is not None:
        card = msgspec.structs.replace(
            card, layout=reading.layout, wrapper=reading.wrapper, below_domain=reading.splits,
        )  # fmt: skip
    folders = source.class_folders()
    if request.domains is not None:
        _check_domains(card, folders, request.domains)
        card = msgspec.structs.replace(card, domains=request.domains)
    study_set = STUDY_SETS.get(request.name)
    if request.keep_missing_classes or (study_set is not None and study_set.lacks_classes):
        used = [folders[name] for name in folders if name in (card.domains or folders)]
        card = msgspec.structs.replace(card, classes=tuple(sorted(set().union(*used))))
    return card


def _check_domains(
    card: DatasetCard, folders: dict[str, set[str]], wanted: tuple[str, ...]
) -> None:
    """Raise DataError if requested domains do not exist."""
    missing = [domain for domain in wanted if domain not in folders]
    if missing:
        raise DataError(
            f"{card.root} has no domain {', '.join(missing)}. Its domains: "
            f"{', '.join(sorted(folders))}."
        )
