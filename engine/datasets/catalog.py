"""The data sets known by name, and how a run's images are found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.datasets.card import DatasetCard, read_card
from engine.datasets.contradictions import contradiction
from engine.datasets.folders import ImageSet, counted, open_image_set
from engine.datasets.study_sets import STUDY_SETS, StudySet, how_to_get, ways_to_get
from engine.errors import DataError
from engine.protocol import RunSpec, SpecError, nearest
from engine.protocol.datasets import (
    DatasetListing,
    DomainListing,
    check_held_out_source,
    check_splits,
    check_target,
)

EMOJI_ARCHIVE: Final = Path(__file__).parent / "emoji" / "emoji.zip"

CATALOG: Final[Mapping[str, Path]] = {"emoji": EMOJI_ARCHIVE}
"""Data set → the folder or archive that holds it."""


def find_image_set(spec: RunSpec) -> ImageSet:
    """Return the images a run asks for, by ``data_dir`` or by the data set's name.

    Raises:
        DataError: when the name is unknown, or the folder cannot be trained on.
    """
    if spec.data_dir is not None:
        return open_image_set(spec.dataset, Path(os.path.expanduser(spec.data_dir)), spec.layout)
    if spec.dataset in STUDY_SETS:
        raise DataError(f"{spec.dataset} is not on this machine. {how_to_get(spec.dataset)}")
    if spec.dataset not in CATALOG:
        raise DataError(
            f"No data set named {spec.dataset!r}; known: {', '.join(CATALOG)}."
            f"{nearest(spec.dataset, CATALOG)} For images of your own give --data DIR, "
            "laid out as domain/class/image."
        )
    return open_image_set(spec.dataset, CATALOG[spec.dataset])


def find_target(image_set: ImageSet, target: str | None) -> str | None:
    """Return the domain that is left out of training; None: none is.

    Raises:
        DataError: when there is a choice and none was made, or it cannot be left out.
    """
    try:
        return check_target(image_set.name, image_set.domains, target)
    except SpecError as error:
        said = f" The images were read so: {image_set.reading}." if image_set.reading else ""
        raise DataError(f"{error}{said}") from None


def find_held_out_source(image_set: ImageSet, name: str | None, target: str | None) -> str | None:
    """Return the source that is left out of training as well; None: none is.

    Raises:
        DataError: when it is the target, not one of the data set's domains, or the only source.
    """
    try:
        return check_held_out_source(image_set.name, image_set.domains, name, target)
    except SpecError as error:
        raise DataError(str(error)) from None


def refuse_small_domains(
    image_set: ImageSet, images: Mapping[str, int], validation_fraction: float
) -> None:
    """Refuse domains that cannot be split; ``images`` are those of each that can be read.

    Raises:
        DataError: naming them.
    """
    try:
        check_splits(image_set.name, images, validation_fraction)
    except SpecError as error:
        raise DataError(str(error)) from None


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
        return describe(path.name, open_image_set(path.name, path), read_card(path))
    except DataError as error:
        return DatasetListing(path.name, (), (), str(path), complete=False, notes=(str(error),))


def _absent(name: str) -> DatasetListing:
    study_set = STUDY_SETS[name]
    domains = tuple(DomainListing(domain, 0, count) for domain, count in study_set.images.items())
    notes = (*ways_to_get(name), *filter(None, [study_set.note]))
    return DatasetListing(name, domains, (), None, complete=False, notes=notes)


def is_published(image_set: ImageSet) -> bool:
    """Say whether images are the embedded ones or a data set of the study, by name and content."""
    if image_set.location == CATALOG.get(image_set.name):
        return True
    return image_set.name in STUDY_SETS and mismatch_of(image_set.name, image_set) is None


def mismatch_of(name: str, image_set: ImageSet) -> str | None:
    """Say how images differ from the published data set of that name in domains or classes."""
    if name not in STUDY_SETS:
        return None
    return STUDY_SETS[name].mismatch(image_set.domains, len(image_set.classes))


def misnamed(image_set: ImageSet) -> str | None:
    """Say that images bear the name of a known data set without being it; None: they do not."""
    name = image_set.name
    if name in CATALOG and image_set.location != CATALOG[name]:
        return f"{name} is the name of an embedded data set. Use another: --dataset NAME."
    if mismatch := mismatch_of(name, image_set):
        return f"It is not the published {name}, which {mismatch}. Use another: --dataset NAME."
    return None


def lost_images(image_set: ImageSet, card: DatasetCard | None) -> list[str]:
    """Say which domains have fewer images than when they were added."""
    counts = Counter(file.domain for file in image_set.files)
    added = (card.images or {}) if card is not None else {}
    return [
        f"{domain} had {counted(images, 'image')} when it was added; now it has {counts[domain]:,}."
        for domain, images in added.items()
        if counts[domain] < images
    ]


def describe(name: str, image_set: ImageSet, card: DatasetCard | None = None) -> DatasetListing:
    """Return what an image set holds, beside what was published of it and what was added."""
    study_set = STUDY_SETS.get(name)
    counts = Counter(file.domain for file in image_set.files)
    notes = [study_set.note] if study_set and study_set.note else []
    notes += [f"from {card.origin}"] if card is not None and card.origin else []
    lost = lost_images(image_set, card)
    notes += lost
    mismatch = mismatch_of(name, image_set)
    notes += [f"It is not the published {name}, which {mismatch}."] if mismatch else []
    problem = contradiction(image_set)
    notes += [f"✗ No run can be made of it: {problem}"] if problem else []
    is_sound = not (lost or mismatch or problem)
    return DatasetListing(
        name=name,
        domains=tuple(
            DomainListing(domain, counts[domain], study_set.expected(domain) if study_set else None)
            for domain in image_set.domains
        ),
        classes=image_set.classes,
        where=str(image_set.location),
        complete=is_sound and (study_set is None or _is_whole(study_set, counts)),
        size_bytes=sum(file.size for file in image_set.files),
        notes=tuple(notes),
        layout=image_set.layout,
        reading=image_set.reading,
        left_out=image_set.left_out,
        mismatch=mismatch,
        problem=problem,
    )


def _is_whole(study_set: StudySet, counts: Counter[str]) -> bool:
    """Say whether the counts are those of a whole download of a published set."""
    expected = [(images, study_set.expected(domain)) for domain, images in counts.items()]
    if len([count for _, count in expected if count is not None]) < len(study_set.images):
        return False
    is_published = all(images >= (count or 0) for images, count in expected)
    return is_published or counts.total() == study_set.also_complete_with
