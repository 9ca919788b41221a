"""TerraIncognita from Caltech Camera Traps: a folder of images and a file of annotations.

Locations, categories and folder names as in DomainBed (``domainbed/scripts/download.py``).
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
_REPORT_EVERY: Final = 200
_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


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
    """The used parts of a COCO Camera Traps file."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def find_annotations(folder: Path) -> Path | None:
    """Return the annotations in a folder of the unpacked archives; None if there are none."""
    found = sorted(folder.glob(ANNOTATIONS))
    return found[-1] if found else None  # the latest: names end with a date


def arrange_camera_traps(annotations: Path, into: Path, on_progress: Progress) -> list[str]:
    """Arrange the images as ``location_N/category/name``, with hard links if possible.

    Args:
        annotations: the JSON file, next to the images in ``eccv_18_all_images_sm``.
        into: an empty folder.
        on_progress: called with the number of placed images and the total.

    Returns:
        The names of annotated images that are missing.

    Raises:
        DataError: if the annotations or all images cannot be read.
        OSError: if a file cannot be written.
    """
    images = annotations.parent / IMAGE_FOLDER
    if not images.is_dir():
        raise DataError(
            f"The folder {IMAGE_FOLDER} is missing next to {annotations}. Unpack "
            f"{IMAGE_FOLDER}.tar.gz there."
        )
    places = _places(annotations)
    missing = []
    for number, (place, name) in enumerate(places, start=1):
        (into / place).mkdir(parents=True, exist_ok=True)
        if not _link(images / name, into / place / name):
            missing.append(name)
        if number % _REPORT_EVERY == 0 or number == len(places):
            on_progress(number, len(places))
    if len(missing) == len(places):
        raise DataError(f"{images} has none of the images listed in {annotations.name}.")
    return missing


def _places(annotations: Path) -> list[tuple[str, str]]:
    """Return (folder, file name) of every used image, once for each of its categories."""
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
            f"{annotations} has no annotations for the locations {', '.join(LOCATIONS)}. Is it the "
            "file of Caltech Camera Traps?"
        )
    return sorted(places)


def _link(source: Path, target: Path) -> bool:
    """Create a hard link, or a copy if that fails; return False if the source is missing."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)
    return True
