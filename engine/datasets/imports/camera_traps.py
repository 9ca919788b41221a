"""TerraIncognita out of Caltech Camera Traps: one folder of images and one file of annotations.

Locations, categories and folder names are DomainBed's (``domainbed/scripts/download.py``).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.progress import Progress
from engine.errors import DataError

LOCATIONS: Final = ("38", "43", "46", "100")
CATEGORIES: Final = (
    "bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel",
)  # fmt: skip
ANNOTATIONS: Final = "caltech_*.json"
IMAGE_FOLDER: Final = "eccv_18_all_images_sm"
_TOLD_EVERY: Final = 200
_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)

"""Told how many images are placed, and how many there are."""


class _Image(msgspec.Struct):
    id: str | int
    file_name: str
    location: str | int | None = None


class _Annotation(msgspec.Struct):
    image_id: str | int
    category_id: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Annotations(msgspec.Struct):
    """The part of a COCO Camera Traps file that is needed."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def find_annotations(folder: Path) -> Path | None:
    """Return the annotations in a folder of the raw archives; None when there are none."""
    found = sorted(folder.glob(ANNOTATIONS))
    return found[-1] if found else None  # the latest: its name ends in its date


def arrange_camera_traps(annotations: Path, into: Path, on_progress: Progress) -> list[str]:
    """Place the images as ``location_N/category/name``: hard links where possible, else copies.

    Args:
        annotations: the JSON file; the images lie in ``eccv_18_all_images_sm`` beside it.
        into: an empty folder.
        on_progress: told now and then how far it is.

    Returns:
        The names of annotated images that are not there.

    Raises:
        DataError: when the annotations or all images cannot be read.
        OSError: when a file cannot be written.
    """
    images = annotations.parent / IMAGE_FOLDER
    if not images.is_dir():
        raise DataError(
            f"Beside {annotations} there is no folder {IMAGE_FOLDER}: unpack "
            f"{IMAGE_FOLDER}.tar.gz there."
        )
    places = _places(annotations)
    missing = []
    for number, (place, name) in enumerate(places, start=1):
        (into / place).mkdir(parents=True, exist_ok=True)
        if not _link(images / name, into / place / name):
            missing.append(name)
        if number % _TOLD_EVERY == 0 or number == len(places):
            on_progress(number, len(places))
    if len(missing) == len(places):
        raise DataError(f"{images} has none of the images that {annotations.name} names.")
    return missing


def _places(annotations: Path) -> list[tuple[str, str]]:
    """Return (folder, file name) of every image used; one with two categories has two."""
    try:
        content = msgspec.json.decode(annotations.read_bytes(), type=_Annotations)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{annotations} cannot be read: {error}.") from None
    category_names = {category.id: category.name for category in content.categories}
    categories: dict[str | int, set[str]] = defaultdict(set)
    for annotation in content.annotations:
        categories[annotation.image_id].add(category_names.get(annotation.category_id, ""))
    places = {
        (f"location_{image.location}/{category}", Path(image.file_name).name)
        for image in content.images
        if str(image.location) in LOCATIONS
        for category in categories[image.id] & set(CATEGORIES)
    }
    if not places:
        raise DataError(
            f"{annotations} annotates no image of the locations {', '.join(LOCATIONS)}: is it the "
            "file of Caltech Camera Traps?"
        )
    return sorted(places)


def _link(source: Path, target: Path) -> bool:
    """Make a hard link, or a copy where the file systems differ; False when there is no source."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)
    return True
