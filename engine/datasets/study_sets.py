"""The published data sets: their content, where they are published and how to get them.

Counts: Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", and DomainBed's loaders.
Archives: DomainBed's ``domainbed/scripts/download.py``.
TerraIncognita's locations, categories and folder names are also DomainBed's.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.errors import DataError
from engine.machine.disk import is_full
from engine.text import without_secrets
from engine.work import Progress

BLOCK_BYTES: Final = 8 * 2**20
"""Bytes read from the hub at a time; an interrupt loses at most these."""
LOCATIONS: Final = ("38", "43", "46", "100")
CATEGORIES: Final = (
    "bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel",
)  # fmt: skip
ANNOTATIONS: Final = "caltech_*.json"
IMAGE_FOLDER: Final = "eccv_18_all_images_sm"
_REPORT_EVERY: Final = 200
_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


@dataclass(frozen=True)
class StudySet:
    """A published data set.

    Attributes:
        images: image counts by domain folder.
        classes: number of classes.
        archives: location of its archives.
        placing: preparation for ``vld data add``, and what PATH is.
        hub_id: id on the Hugging Face hub (parquet files); None: not on the hub.
        debian_package: Debian package that has the images that are not embedded, or None.
        note: a known difference, or None.
        lacks_classes: whether a domain lacks a class.
        also_complete_with: alternative total number of images of a complete download, or None.
        other_names: alternative domain names, mapped to those in ``images``.
    """

    images: Mapping[str, int]
    classes: int
    archives: str
    placing: str
    hub_id: str | None = None
    debian_package: str | None = None
    note: str | None = None
    lacks_classes: bool = False
    also_complete_with: int | None = None
    other_names: Mapping[str, str] = field(default_factory=dict)

    def expected(self, domain: str) -> int | None:
        """Return the published image count of a domain, by any of its names."""
        return self.images.get(self.other_names.get(domain, domain))

    def mismatch(self, domains: Sequence[str], classes: int) -> str | None:
        """Return how domains or classes differ from the published ones; None if they match."""
        named = {self.other_names.get(domain, domain) for domain in domains}
        if named != set(self.images) or len(domains) != len(self.images):
            return f"has the domains {', '.join(self.images)}, but these are {', '.join(domains)}"
        if classes != self.classes:
            return f"has {self.classes} classes, but this has {classes}"
        return None


STUDY_SETS: Final[Mapping[str, StudySet]] = {
    "PACS": StudySet(
        {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
        7,
        "https://drive.google.com/uc?id=1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd (PACS.zip)",
        "PATH is PACS.zip or the extracted folder kfold",
        hub_id="flwrlabs/pacs",
    ),
    "VLCS": StudySet(
        {"Caltech101": 1415, "LabelMe": 2656, "SUN09": 3282, "VOC2007": 3376},
        5,
        "https://drive.google.com/uc?id=1skwblH1_okBwxWxmRsp9_qi15hyPpxg8 (VLCS.tar.gz)",
        "PATH is VLCS.tar.gz or the extracted folder VLCS",
        note="Published in several layouts; supported are domain/class, domain/full/class and "
        "domain/{train,val,test,crossval}/class, with classes by name or by number.",
        other_names={
            "CALTECH": "Caltech101", "LABELME": "LabelMe", "SUN": "SUN09", "PASCAL": "VOC2007",
        },
    ),
    "OfficeHome": StudySet(
        {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real World": 4357},
        65,
        "https://drive.google.com/uc?id=1uY0pj7oFsjMxRwaD3Sxy0jgel0fsYXLC (office_home.zip)",
        "PATH is office_home.zip or the extracted folder OfficeHomeDataset_10072016",
        hub_id="flwrlabs/office-home",
        other_names={"RealWorld": "Real World", "Real_World": "Real World", "Real": "Real World"},
    ),
    "TerraIncognita": StudySet(
        {"location_100": 4879, "location_38": 9767, "location_43": 4020, "location_46": 6122},
        10,
        "https://lila.science/datasets/caltech-camera-traps (eccv_18_all_images_sm.tar.gz and "
        "caltech_camera_traps.json.zip)",
        "unpack both into one folder; PATH is that folder (with eccv_18_all_images_sm and "
        "caltech_images_….json), or DomainBed's folder of location_38, …",
        note="Published tables count 24,788 images; today's downloads give 24,330.",
        also_complete_with=24_330,
        other_names={f"L{number}": f"location_{number}" for number in (38, 43, 46, 100)},
    ),
    "DomainNet": StudySet(
        {
            "clipart": 48129, "infograph": 51605, "painting": 72266,
            "quickdraw": 172500, "real": 172947, "sketch": 69128,
        },
        345,
        "http://ai.bu.edu/M3SDA/ (the cleaned version, one zip archive for each domain)",
        "unpack all six into one folder; PATH is that folder; for the uncleaned archives, add "
        "--exclude domain_net_duplicates.txt (from DomainBed)",
        hub_id="wltjr1007/DomainNet",
        note="painting has images of only 344 of the 345 classes.",
        lacks_classes=True,
    ),
    "objects": StudySet(
        {"clipart": 997, "emoji": 458, "lineart": 452, "photo": 269},
        8,
        "https://packages.debian.org/tuxpaint-stamps-default (.deb file, 161 MB)",
        "DEB is that file",
        debian_package="tuxpaint-stamps-default",
        note="photo has images of only 7 of the 8 classes: none of clothing.",
        lacks_classes=True,
    ),
}  # fmt: skip
"""The published data sets by name."""


def how_to_get(name: str, *, from_hub: bool = True) -> str:
    """Return instructions for getting a published data set.

    Args:
        name: of the data set.
        from_hub: include the automatic way, if there is one.
    """
    return " ".join(ways_to_get(name)[0 if from_hub else -2 :])


def ways_to_get(name: str) -> tuple[str, ...]:
    """Return a sentence for each way to get a data set, and one on its terms of use."""
    study_set = STUDY_SETS[name]
    command = f"vld data fetch {name}"
    if study_set.debian_package is not None:
        return (
            f"Build it from the Debian package {study_set.debian_package}, with apt: {command}.",
            f"Without apt, download {study_set.archives}, then: {command} DEB "
            f"({study_set.placing}).",
            "Its photographs are licensed under GPL-2 or later.",
        )
    ways = (
        f"Download it manually from {study_set.archives}, then: vld data add {name} PATH "
        f"({study_set.placing}).",
        "For the terms of use, see the publisher's page.",
    )
    if study_set.hub_id is None:
        return ways
    return (
        f"Download it from the Hugging Face hub ({study_set.hub_id}): {command}.",
        *ways,
    )


class Download(NamedTuple):
    """Parquet files, sorted by name, and their revision."""

    files: tuple[Path, ...]
    revision: str


class _Table(NamedTuple):
    """A parquet file on the hub: path, size in bytes, and SHA-256 if known."""

    address: str
    size: int
    sha256: str | None


def download_tables(hub_id: str, into: Path, on_progress: Progress) -> Download:
    """Download a data set's parquet files into ``into``, resuming an earlier download.

    All files are of the newest revision at the start; each is checked against the hub's size and
    checksum. The hub client's variables ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` apply. Its
    ``hf_hub_download`` is not used because it restarts a file after an interrupt.

    Raises:
        DataError: if the hub is unreachable or refuses, or the data set has no parquet files. The
            partial download is kept, and the next call resumes it.
        OSError: if the disk is full or cannot be written.
    """
    import huggingface_hub  # half a second

    try:
        revision = str(huggingface_hub.HfApi().dataset_info(hub_id).sha)
        hub = huggingface_hub.HfFileSystem()
        tables = _find_tables(hub, hub_id, revision)
    except Exception as error:  # noqa: BLE001 - any error of the client: always reported
        raise _unreachable(hub_id, error) from None
    if not tables:
        raise DataError(f"{hub_id} no longer has parquet files on the hub.")
    folder = into / revision
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(table.size for table in tables)
    before, files = 0, []
    for number, table in enumerate(tables):
        file = folder / f"{number:05}.parquet"

        def progress(done: int, before: int = before) -> None:
            on_progress(before + done, total)

        if not file.exists():
            _download(hub, hub_id, table, file, progress)
        before += table.size
        on_progress(before, total)
        files.append(file)
    return Download(tuple(files), revision)


def _find_tables(hub: Any, hub_id: str, revision: str) -> list[_Table]:
    found = hub.find(f"datasets/{hub_id}@{revision}", detail=True)
    return [
        _Table(address, facts["size"], facts["lfs"].sha256 if facts.get("lfs") else None)
        for address, facts in sorted(found.items())
        if address.endswith(".parquet")
    ]


def _download(
    hub: Any, hub_id: str, table: _Table, file: Path, on_progress: Callable[[int], None]
) -> None:
    """Download one file, resuming an earlier download, and verify it."""
    part = file.with_suffix(".part")
    with part.open("ab") as local:
        while (done := local.tell()) < table.size:
            try:
                with hub.open(table.address, "rb", cache_type="none") as remote:
                    remote.seek(done)
                    block = remote.read(BLOCK_BYTES)
            except Exception as error:  # noqa: BLE001 - as above
                raise _unreachable(hub_id, error) from None
            if not block:
                raise _unreachable(hub_id, EOFError(f"{table.address} ends early"))
            local.write(block)
            local.flush()
            on_progress(local.tell())
    if part.stat().st_size != table.size or not _has_checksum(part, table.sha256):
        part.unlink()
        raise DataError(
            f"{table.address} was damaged in the download and deleted. Run the command again."
        )
    part.rename(file)


def _has_checksum(file: Path, sha256: str | None) -> bool:
    if sha256 is None:
        return True
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256


def _unreachable(hub_id: str, error: Exception) -> Exception:
    """Return the error to raise; a full disk is not the hub's fault."""
    if is_full(error):
        return error
    text = without_secrets(str(error).strip()) or type(error).__name__
    reason = text.splitlines()[0].rstrip(".")
    return DataError(
        f"{hub_id} cannot be downloaded from the Hugging Face hub: {reason}. The partial download "
        "is kept; run the command again to resume."
    )


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
