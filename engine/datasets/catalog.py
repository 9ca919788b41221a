"""The data sets known by name, and how a run's images are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.datasets.errors import DataError
from engine.datasets.folders import ImageSet, open_image_set
from engine.protocol import RunSpec, nearest
from engine.protocol.datasets import DatasetListing, DomainListing

EMOJI_ARCHIVE: Final = Path(__file__).parent / "emoji" / "emoji.zip"

CATALOG: Final[Mapping[str, Path]] = {"emoji": EMOJI_ARCHIVE}
"""Data set → the folder or archive that holds it."""


def find_image_set(spec: RunSpec) -> ImageSet:
    """Return the images a run asks for, by ``data_dir`` or by the data set's name.

    Raises:
        DataError: when the name is unknown, or the folder cannot be trained on.
    """
    if spec.data_dir is not None:
        return open_image_set(spec.dataset, Path(spec.data_dir).expanduser())
    if spec.dataset not in CATALOG:
        raise DataError(
            f"There is no data set {spec.dataset!r}; known: {', '.join(CATALOG)}."
            f"{nearest(spec.dataset, CATALOG)} For images of your own give --data DIR, "
            "laid out as domain/class/image."
        )
    return open_image_set(spec.dataset, CATALOG[spec.dataset])


def find_target(image_set: ImageSet, target: str | None) -> str:
    """Return the domain that is left out of training.

    Raises:
        DataError: when none is named, or it is not one of the data set's.
    """
    domains = ", ".join(image_set.domains)
    if target is None:
        raise DataError(
            f"Which domain of {image_set.name} is left out of training? Choose one with "
            f"--target: {domains}."
        )
    if target not in image_set.domains:
        raise DataError(
            f"{image_set.name} has no domain {target!r}; choose one with --target: {domains}."
            f"{nearest(target, image_set.domains)}"
        )
    return target


def list_datasets(root: Path) -> list[DatasetListing]:  # noqa: ARG001 - until sets can be added
    """Return every data set known by name, with what is on this machine.

    Args:
        root: folder of the data sets that were added or fetched.
    """
    return [_listing(name, where) for name, where in CATALOG.items()]


def _listing(name: str, where: Path) -> DatasetListing:
    image_set = open_image_set(name, where)
    counts = Counter(file.domain for file in image_set.files)
    return DatasetListing(
        name=name,
        domains=tuple(DomainListing(domain, counts[domain]) for domain in image_set.domains),
        classes=image_set.classes,
        where=str(where),
        complete=True,
        size_bytes=sum(file.size for file in image_set.files),
    )
