"""The data sets known by name, and how a run's images are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.datasets.errors import DataError
from engine.datasets.folders import ImageSet, open_image_set
from engine.datasets.study_sets import STUDY_SETS, how_to_get
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
    if spec.dataset in STUDY_SETS:
        raise DataError(f"{spec.dataset} is not on this machine. {how_to_get(spec.dataset)}")
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


def list_datasets(root: Path) -> list[DatasetListing]:
    """Return the embedded data set, those that were added, and the study's that are not here.

    Args:
        root: folder of the data sets that were added.
    """
    folders = sorted(root.iterdir()) if root.is_dir() else []
    added = [path for path in folders if not path.name.startswith(".")]
    listings = [describe(name, open_image_set(name, where)) for name, where in CATALOG.items()]
    listings += [_added(path) for path in added if path.is_dir()]
    here = {listing.name for listing in listings}
    return listings + [_absent(name) for name in STUDY_SETS if name not in here]


def _added(path: Path) -> DatasetListing:
    try:
        return describe(path.name, open_image_set(path.name, path))
    except DataError as error:
        return DatasetListing(path.name, (), (), str(path), complete=False, notes=(str(error),))


def _absent(name: str) -> DatasetListing:
    study_set = STUDY_SETS[name]
    domains = tuple(DomainListing(domain, 0, count) for domain, count in study_set.images.items())
    notes = (how_to_get(name), *filter(None, [study_set.note]))
    return DatasetListing(name, domains, (), None, complete=False, notes=notes)


def describe(name: str, image_set: ImageSet) -> DatasetListing:
    """Return what an image set holds, beside what was published of it."""
    study_set = STUDY_SETS.get(name)
    expected = dict(study_set.images) if study_set else {}
    counts = Counter(file.domain for file in image_set.files)
    return DatasetListing(
        name=name,
        domains=tuple(
            DomainListing(domain, counts[domain], expected.get(domain))
            for domain in image_set.domains
        ),
        classes=image_set.classes,
        where=str(image_set.location),
        complete=all(counts[domain] >= count for domain, count in expected.items()),
        size_bytes=sum(file.size for file in image_set.files),
        notes=tuple(filter(None, [study_set.note])) if study_set else (),
    )
