"""Data sets known by name, lookup of a run's images, and tables that contradict themselves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.datasets.card import DatasetCard, read_card
from engine.datasets.corrections import CorrectedSource, without_corrections
from engine.datasets.folders import ImageSet, Use, open_image_set
from engine.datasets.sources import ImageFile
from engine.datasets.study_sets import STUDY_SETS, StudySet, how_to_get, ways_to_get
from engine.datasets.tables import TableSource
from engine.errors import DataError
from engine.protocol import RunSpec, SpecError
from engine.protocol.datasets import (
    DatasetListing,
    DomainListing,
    check_held_out_source,
    check_splits,
    check_target,
    unknown_dataset,
)
from engine.protocol.embedded import EMBEDDED_ARCHIVES
from engine.text import counted, quoted

CATALOG: Final[Mapping[str, Path]] = EMBEDDED_ARCHIVES
"""Folder or archive by data set name."""
EMOJI_ARCHIVE: Final = CATALOG["emoji"]
LICENSES: Final[Mapping[str, dict[str, str]]] = {
    "emoji": {
        "fluent": "MIT", "fluent-mono": "MIT", "noto": "Apache-2.0", "twemoji": "CC-BY-4.0",
    },
    "objects-drawn": {"clipart": "public domain", "emoji": "Apache-2.0", "lineart": "MIT"},
}  # fmt: skip
"""Licence of each domain of the embedded data sets."""


def find_image_set(spec: RunSpec, *, use: Use = "run") -> ImageSet:
    """Return a run's images, by ``data_dir`` or by the data set's name.

    ``use``: what the images are for.

    Raises:
        DataError: if the name is unknown or the folder cannot be used.
    """
    if spec.data_dir is not None:
        location = Path(os.path.expanduser(spec.data_dir))
        return open_image_set(spec.dataset, location, spec.layout, use=use, exclude=spec.exclude)
    if spec.dataset in STUDY_SETS:
        raise DataError(f"{spec.dataset} is not on this machine. {how_to_get(spec.dataset)}")
    if spec.dataset not in CATALOG:
        raise DataError(unknown_dataset(spec.dataset, CATALOG))
    return open_image_set(spec.dataset, CATALOG[spec.dataset], use=use, exclude=spec.exclude)


def find_target(image_set: ImageSet, target: str | None) -> str | None:
    """Return the domain to leave out of training, or None.

    Raises:
        DataError: if the target is missing or invalid, see :func:`check_target`, or if training
            images were chosen by their distance to it.
    """
    source = image_set.source
    if isinstance(source, CorrectedSource) and target in source.chosen_on:
        raise DataError(
            f"An exclude list of {image_set.name} chose images by their distance to {target} (vld "
            f"data nearest), so {target} cannot be the target: its OOD accuracy would be that of "
            "images selected on it. Choose another --target or another list."
        )
    try:
        return check_target(image_set.name, image_set.domains, target)
    except SpecError as error:
        layout = f" Detected layout: {image_set.reading}." if image_set.reading else ""
        raise DataError(f"{error}{layout}") from None


def find_held_out_source(image_set: ImageSet, name: str | None, target: str | None) -> str | None:
    """Return the source domain to leave out of training as well, or None.

    Raises:
        DataError: if it is invalid, see :func:`check_held_out_source`.
    """
    try:
        return check_held_out_source(image_set.name, image_set.domains, name, target)
    except SpecError as error:
        raise DataError(str(error)) from None


def refuse_small_domains(
    image_set: ImageSet, images: Mapping[str, int], validation_fraction: float
) -> None:
    """Check that domains can be split; ``images`` are their numbers of readable images.

    Raises:
        DataError: if not; names the domains.
    """
    try:
        check_splits(image_set.name, images, validation_fraction)
    except SpecError as error:
        raise DataError(str(error)) from None


def list_datasets(root: Path) -> list[DatasetListing]:
    """Return the embedded, the added and the missing published data sets.

    Args:
        root: folder of added data sets.
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
    """Return whether images are an embedded or a published data set, by name and content."""
    if image_set.location == CATALOG.get(image_set.name):
        return True
    return image_set.name in STUDY_SETS and mismatch_of(image_set.name, image_set) is None


def mismatch_of(name: str, image_set: ImageSet) -> str | None:
    """Return how domains or classes differ from the published data set of that name, if so."""
    if name not in STUDY_SETS:
        return None
    return STUDY_SETS[name].mismatch(image_set.domains, len(image_set.classes))


def misnamed(image_set: ImageSet) -> str | None:
    """Return an error message if other images have the name of a known data set, else None."""
    name = image_set.name
    if name in CATALOG and image_set.location != CATALOG[name]:
        return f"{name} is the name of an embedded data set. Use another name: --dataset NAME"
    if mismatch := mismatch_of(name, image_set):
        return f"{_not_published(name, mismatch)} Use another name: --dataset NAME"
    return None


def lost_images(image_set: ImageSet, card: DatasetCard | None) -> list[str]:
    """Return a message for each domain with fewer images than when it was added."""
    counts = Counter(file.domain for file in image_set.files)
    added = (card.images or {}) if card is not None else {}
    return [
        f"{domain} had {counted(images, 'image')} when added, but has {counts[domain]:,} now."
        for domain, images in added.items()
        if counts[domain] < images
    ]


def describe(name: str, image_set: ImageSet, card: DatasetCard | None = None) -> DatasetListing:
    """Return the listing of an image set, compared with the published and the added data set."""
    study_set = STUDY_SETS.get(name)
    counts = Counter(file.domain for file in image_set.files)
    notes = [study_set.note] if study_set and study_set.note else []
    notes += [f"from {card.origin}"] if card is not None and card.origin else []
    lost = lost_images(image_set, card)
    notes += lost
    mismatch = mismatch_of(name, image_set)
    notes += [_not_published(name, mismatch)] if mismatch else []
    problem = contradiction(image_set)
    notes += [f"✗ Cannot be used for runs: {problem}"] if problem else []
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
        licenses=_licenses_of(name, image_set, card),
    )


def _licenses_of(name: str, image_set: ImageSet, card: DatasetCard | None) -> dict[str, str]:
    if card is not None and isinstance(card.licenses, dict):
        return card.licenses
    return LICENSES[name] if image_set.location == CATALOG.get(name) else {}


def _not_published(name: str, mismatch: str) -> str:
    return f"This is not the published {name}, which {mismatch}."


def _is_whole(study_set: StudySet, counts: Counter[str]) -> bool:
    """Return whether the counts are those of a complete download."""
    expected = [(images, study_set.expected(domain)) for domain, images in counts.items()]
    if len([count for _, count in expected if count is not None]) < len(study_set.images):
        return False
    is_published = all(images >= (count or 0) for images, count in expected)
    return is_published or counts.total() == study_set.also_complete_with


def contradiction(image_set: ImageSet) -> str | None:
    """Return an error message if a table lists a file in two domains or with two labels.

    Compares paths only; ``vld data check`` compares contents, also of folders. Published data sets
    are exempt.
    """
    source = without_corrections(image_set.source)
    if not isinstance(source, TableSource) or image_set.name in STUDY_SETS:
        return None
    first: dict[str, ImageFile] = {}
    shared: list[tuple[ImageFile, ImageFile]] = []
    relabelled: list[tuple[ImageFile, ImageFile]] = []
    for file in image_set.files:
        other = first.setdefault(source.place(file.path), file)
        if other.domain != file.domain:
            shared.append((other, file))
        elif other.class_name != file.class_name:
            relabelled.append((other, file))
    where = source.location
    if shared:
        one, other = shared[0]
        return (
            f"{where} lists {_files(shared)} in two domains: {one.path} is in "
            f"{quoted(one.domain)} and in {quoted(other.domain)}. Keep one row; otherwise OOD "
            "accuracy is measured on training images."
        )
    if relabelled:
        one, other = relabelled[0]
        return (
            f"{where} lists {_files(relabelled)} with two labels: {one.path} is "
            f"{quoted(one.class_name)} and {quoted(other.class_name)}. Keep the correct row."
        )
    return None


def refuse_contradiction(image_set: ImageSet) -> None:
    """Check that no table row contradicts another.

    Raises:
        DataError: if a file is in two domains or has two labels; names the first.
    """
    if problem := contradiction(image_set):
        raise DataError(problem)


def _files(pairs: list[tuple[ImageFile, ImageFile]]) -> str:
    return "a file" if len(pairs) == 1 else f"{len(pairs):,} files"
