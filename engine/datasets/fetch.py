"""Download of the published data sets: from the Hugging Face hub, or from Debian packages."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Final

from engine.datasets.card import DatasetCard
from engine.datasets.catalog import LICENSES
from engine.datasets.debian import DebianPackage, download_package
from engine.datasets.named_sets import IMAGES, check_name, staged
from engine.datasets.objects import ARCHIVE
from engine.datasets.objects.selection import CLIPART, PHOTO, package_images
from engine.datasets.parquet import ImageColumns, require_pyarrow, write_images
from engine.datasets.register import register
from engine.datasets.study_sets import STUDY_SETS, download_tables, how_to_get, ways_to_get
from engine.errors import DataError
from engine.protocol import nearest
from engine.protocol.datasets import AddDataset, DatasetListing, FetchDataset
from engine.protocol.work import WorkNote
from engine.work import Reporter, progress_of

OBJECTS_LICENSES: Final = {**LICENSES["objects-drawn"], "photo": "GPL-2.0-or-later"}


def fetch_dataset(request: FetchDataset, report: Reporter) -> DatasetListing:
    """Download a published data set and import it.

    Raises:
        DataError: if it cannot be downloaded (states alternatives), or the name is taken. A partial
            download is kept until it is imported.
    """
    folder = Path(request.root) / request.name
    study_set = STUDY_SETS.get(request.name)
    if study_set is None:
        raise DataError(
            f"cannot fetch {request.name!r}.{nearest(request.name, STUDY_SETS)} Available: "
            f"{', '.join(STUDY_SETS)}. For your own images: vld data add NAME PATH"
        )
    check_name(request.name, folder, instead="To fetch it again, remove it first")
    downloads = folder.with_name(f".{folder.name}.download")
    if study_set.debian_package is not None:
        with staged(folder) as stage:
            listing = _make_objects(request, stage, downloads, report)
    elif request.packages:
        raise DataError(f"{request.name} is not made from Debian packages. Give its name only.")
    elif study_set.hub_id is None:
        raise DataError(f"{request.name} is not on the hub. {how_to_get(request.name)}")
    else:
        require_pyarrow()  # before a long download
        try:
            with staged(folder) as stage:
                listing = _import_from_hub(request, study_set.hub_id, stage, downloads, report)
        except DataError as error:
            raise DataError(f"{error} {how_to_get(request.name, from_hub=False)}") from None
    shutil.rmtree(downloads, ignore_errors=True)
    return listing


def _import_from_hub(
    request: FetchDataset, hub_id: str, stage: Path, downloads: Path, report: Reporter
) -> DatasetListing:
    download = download_tables(hub_id, downloads, progress_of(report, "downloading", "MiB", 2**20))
    progress = progress_of(report, "importing", "images")
    write_images(download.files, stage / IMAGES, ImageColumns(), progress)
    origin = f"huggingface.co/datasets/{hub_id} at {download.revision}"
    card = DatasetCard(request.name, IMAGES, origin=origin)
    return _registered(card, request, stage, downloads)


def _make_objects(
    request: FetchDataset, stage: Path, downloads: Path, report: Reporter
) -> DatasetListing:
    """Write the photographs of a Debian package and the embedded drawings."""
    package = _given_package(request.packages, report)
    if package is None:
        progress = progress_of(report, "downloading", "MiB", 2**20)
        try:
            package = download_package(PHOTO.package, downloads, progress)
        except DataError as error:
            _, without_apt, _ = ways_to_get(request.name)
            raise DataError(f"{error} {without_apt}") from None
    photographs = package_images(PHOTO, package, progress_of(report, "reading", "MiB", 2**20))
    if not photographs:
        raise DataError(f"{package.path} (version {package.version}) has no known photographs.")
    images = {f"photo/{path}": content for path, content in photographs.items()}
    with zipfile.ZipFile(ARCHIVE) as drawings:
        images |= {name: drawings.read(name) for name in drawings.namelist()}
    for path, content in images.items():
        file = stage / IMAGES / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    origin = f"Debian package {package.name} {package.version} and objects-drawn"
    card = DatasetCard(request.name, IMAGES, origin=origin, licenses=OBJECTS_LICENSES)
    return _registered(card, request, stage, package.path)


def _given_package(paths: tuple[str, ...], report: Reporter) -> DebianPackage | None:
    """Return the package of photographs among the given ones; None if none is given.

    Raises:
        DataError: if it is not among them, or one of them is another package or unusable.
    """
    given = None
    for path in paths:
        package = DebianPackage(Path(path))
        if package.name == CLIPART.package:
            report(WorkNote(f"{path} is not needed: its drawings are part of this program."))
        elif package.name == PHOTO.package:
            given = package
        else:
            raise DataError(f"{path} is the Debian package {package.name}, not {PHOTO.package}.")
    if paths and given is None:
        raise DataError(
            f"{paths[0]} has no photographs. Add the file of the package {PHOTO.package}, or "
            "give no file to download it."
        )
    return given


def _registered(
    card: DatasetCard, request: FetchDataset, stage: Path, source: Path
) -> DatasetListing:
    plain = AddDataset(request.root, request.name, str(source))
    return register(card, stage, Path(request.root) / request.name, plain)
