"""Give images a name: look at how they are laid out, and write the card that remembers it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

from msgspec.structs import replace

from engine.datasets.card import DatasetCard, TableColumns, read_card, write_card
from engine.datasets.catalog import describe
from engine.datasets.folders import ImageSet, listed
from engine.datasets.hub import download_tables
from engine.datasets.imports import (
    ImageColumns,
    arrange_camera_traps,
    find_annotations,
    find_tables,
    is_archive,
    require_pyarrow,
    staged,
    unpack,
    write_images,
)
from engine.datasets.layouts import complete_card
from engine.datasets.named_sets import (
    IMAGES,
    check_name,
    check_published_name,
    check_replaceable,
    put_in_place,
)
from engine.datasets.progress import Tell, progress_of
from engine.datasets.sources import EXCLUDED, FolderSource, ImageSource
from engine.datasets.study_sets import STUDY_SETS, how_to_get
from engine.datasets.tables import TABLE_SUFFIXES, TableSource, missing_note
from engine.errors import DataError
from engine.protocol import nearest
from engine.protocol.datasets import (
    AddDataset,
    DatasetListing,
    FetchDataset,
    WorkNote,
)


def add_dataset(request: AddDataset, tell: Tell) -> DatasetListing:
    """Register images under a name.

    A folder and a table stay where they are. Archives, parquet files and raw camera-trap images
    are imported into the folder of the name, which appears when all of it is there.

    Raises:
        DataError: for a name that is taken or no plain word, and for images that no run can be
            made of; nothing is left behind then.
    """
    folder = Path(request.root) / request.name
    check_name(request.name, folder, takes_over=request.name if request.replaces else None)
    if request.replaces:
        check_replaceable(folder)
        if Path(request.path).is_relative_to(folder):
            raise DataError(f"{request.path} is in the folder of {request.name} itself.")
    with staged(folder, put_in_place if request.replaces else Path.rename) as stage:
        listing = register(_start_card(request, stage, tell), stage, folder, request)
    card = read_card(folder)
    return listing if card is None else replace(listing, where=str(folder / card.root))


def fetch_dataset(request: FetchDataset, tell: Tell) -> DatasetListing:
    """Download a data set of the study from the Hugging Face hub, and import it.

    Raises:
        DataError: when it is not on the hub or cannot be reached (the message says how else to
            get it), or the name is taken. What was downloaded is kept until it is imported.
    """
    folder = Path(request.root) / request.name
    study_set = STUDY_SETS.get(request.name)
    if study_set is None:
        raise DataError(
            f"{request.name!r} is not known; what can be fetched: {', '.join(STUDY_SETS)}."
            f"{nearest(request.name, STUDY_SETS)} For images of your own: vld data add NAME PATH."
        )
    check_name(request.name, folder)
    if study_set.hub_id is None:
        raise DataError(f"{request.name} is not on a hub. {how_to_get(request.name)}")
    require_pyarrow()  # before a download that may take hours
    downloads = folder.with_name(f".{folder.name}.download")
    try:
        with staged(folder) as stage:
            download = download_tables(
                study_set.hub_id, downloads, progress_of(tell, "downloading", "MiB", 2**20)
            )
            progress = progress_of(tell, "importing", "images")
            write_images(download.files, stage / IMAGES, ImageColumns(), progress)
            origin = f"huggingface.co/datasets/{study_set.hub_id} at {download.revision}"
            card = DatasetCard(request.name, IMAGES, origin=origin)
            plain = AddDataset(request.root, request.name, str(downloads))
            listing = register(card, stage, folder, plain)
    except DataError as error:
        raise DataError(f"{error} {how_to_get(request.name, from_hub=False)}") from None
    shutil.rmtree(downloads, ignore_errors=True)
    return listing


def _start_card(request: AddDataset, stage: Path, tell: Tell) -> DatasetCard:
    """Return a card that says where the images lie, once they are imported where need be."""
    path = Path(os.path.expanduser(request.path)).absolute()
    if path.suffix.lower() in TABLE_SUFFIXES:
        _refuse_layout(request, "a table names the domain and the class of every image")
        columns = TableColumns(
            request.path_column, request.label_column, request.domain_column, request.group_column
        )
        return DatasetCard(request.name, str(path), table=columns)
    if request.group_column is not None:
        raise DataError(f"--group-column is for tables, but {path} is not a table.")
    if not path.exists():
        raise DataError(f"No such file or folder: {path}")
    imported = DatasetCard(request.name, IMAGES, origin=str(path))  # as domain/class
    images = stage / IMAGES
    if path.is_file() and is_archive(path):
        images.mkdir()
        unpack(path, images, progress_of(tell, "unpacking", "MiB", 2**20))
        return replace(imported, layout=request.layout)
    if tables := find_tables(path):
        _refuse_exclusions(request, "the rows of parquet files have no names")
        _refuse_layout(request, "parquet files have columns of domains and labels")
        named = ImageColumns(request.image_column, request.label_column, request.domain_column)
        write_images(tables, images, named, progress_of(tell, "importing", "images"))
        return imported
    if not path.is_dir():
        raise DataError(
            f"{path} is neither a folder of domain/class/image nor a file that can be read: a CSV "
            "table, a parquet file, a zip or tar archive."
        )
    if annotations := find_annotations(path):
        _refuse_exclusions(request, "annotations choose the images")
        _refuse_layout(request, "annotations name domains and classes")
        missing = arrange_camera_traps(annotations, images, progress_of(tell, "placing", "images"))
        if missing:
            tell(WorkNote(f"{len(missing)} annotated images are not there: {missing[0]}, …"))
        return imported
    return DatasetCard(request.name, str(path), layout=request.layout)


def _refuse_layout(request: AddDataset, why: str) -> None:
    if request.layout != "auto":
        raise DataError(f"--layout is for folders and archives: {why}.")


def _refuse_exclusions(request: AddDataset, why: str) -> None:
    if request.exclude is not None:
        raise DataError(f"--exclude is for folders and archives: {why}.")


def register(card: DatasetCard, stage: Path, folder: Path, request: AddDataset) -> DatasetListing:
    """Look at the images, and write the card that says which of them belong.

    Args:
        card: where the images lie, in the stage or elsewhere.
        stage: folder that is being filled.
        folder: what it will be called when the block of ``staged`` ends.
        request: domains, exclusions, classes; its path is named in errors.

    Raises:
        DataError: when no run can be made of the images.
    """
    try:
        source = _whole_source(card, stage)
        card = complete_card(card, source, request)
        if card.domains is not None or card.excluded:
            source = card.source(stage)
        image_set = ImageSet(request.name, source, card.classes)
        check_published_name(request.name, image_set)
        notes = _exclusion_notes(source, request)
        if isinstance(source, TableSource) and source.missing:
            notes = (*notes, missing_note(source.missing))
    except DataError as error:  # named as they were given: the stage will be gone
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
    """Return all that lies at the root of a card, its folders read as its layout asks."""
    if card.table is not None:
        return card.source(stage)
    return FolderSource(stage / card.root, card.layout)


def _exclusion_notes(source: ImageSource, request: AddDataset) -> tuple[str, ...]:
    """Say which lines of ``--exclude`` match no image.

    Raises:
        DataError: when none of them does.
    """
    if request.exclude is None or not isinstance(source, FolderSource):
        return ()
    unmatched = source.unmatched_exclusions
    matched = [each.count for each in source.left_out if each.kind == EXCLUDED]
    if unmatched and not matched:
        example = source.files()[0].path if source.files() else "none"
        raise DataError(
            f"No line of {request.exclude} is an image of {request.path}: such as "
            f"{unmatched[0]} there and {example} here. Paths are relative to the folder of domains."
        )
    if not unmatched:
        return ()
    lines = "1 line" if len(unmatched) == 1 else f"{len(unmatched):,} lines"
    matches = "matches" if len(unmatched) == 1 else "match"
    return (f"{lines} of {request.exclude} {matches} no image: {listed(unmatched)}",)
