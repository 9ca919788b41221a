"""TerraIncognita out of the raw images and annotations of Caltech Camera Traps."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.datasets.folders import open_image_set
from engine.datasets.register import add_dataset
from engine.datasets.study_sets import CATEGORIES, IMAGE_FOLDER, LOCATIONS
from engine.errors import DataError
from engine.protocol.datasets import AddDataset, DatasetListing
from engine.protocol.work import WorkNote, WorkReport
from tests.engine.datasets.published_sets import image_bytes

DOMAINS = tuple(sorted(f"location_{number}" for number in LOCATIONS))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Return a folder as the unpacked archives leave it: other places and animals as well."""
    folder = tmp_path / "raw"
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    names = [*CATEGORIES, "car", "deer"]
    images, annotations = [], []
    for location in (*LOCATIONS, "33"):
        for category in range(len(names)):
            image_id = f"{location}-{category}"
            name = f"{image_id}.jpg"
            (folder / IMAGE_FOLDER / name).write_bytes(image_bytes(category, "JPEG"))
            images.append({"id": image_id, "file_name": name, "location": location, "width": 8})
            annotations.append({"id": name, "image_id": image_id, "category_id": category + 3})
    annotations.append({"id": "again", "image_id": "38-0", "category_id": 3})
    annotations.append({"id": "two", "image_id": "38-0", "category_id": 4})
    categories = [{"id": number + 3, "name": name} for number, name in enumerate(names)]
    write(folder, {"images": images, "annotations": annotations, "categories": categories})
    return folder


def write(folder: Path, content: Mapping[str, object]) -> None:
    (folder / "caltech_images_20210113.json").write_text(json.dumps(content))


def add(root: Path, path: Path, reports: list[WorkReport] | None = None) -> DatasetListing:
    told = [] if reports is None else reports
    return add_dataset(AddDataset(str(root), "TerraIncognita", str(path)), told.append)


def test_four_locations_and_ten_categories_are_linked(root: Path, raw: Path) -> None:
    listing = add(root, raw)
    assert listing.classes == CATEGORIES
    counts = {domain.name: domain.images for domain in listing.domains}
    assert counts == dict.fromkeys(DOMAINS, 10) | {"location_38": 11}  # one of two categories
    assert {domain.name: domain.expected for domain in listing.domains}["location_46"] == 6122
    assert not listing.complete
    assert any("24,330" in note for note in listing.notes)
    linked = root / "TerraIncognita" / "images" / "location_43" / "dog" / "43-4.jpg"
    assert os.path.samefile(linked, raw / IMAGE_FOLDER / "43-4.jpg")
    assert open_image_set("x", root / "TerraIncognita").open_image(0).size == (8, 8)


def test_images_are_copied_where_they_cannot_be_linked(
    root: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)
    assert sum(domain.images for domain in add(root, raw).domains) == 41
    copied = root / "TerraIncognita" / "images" / "location_43" / "dog" / "43-4.jpg"
    assert copied.read_bytes() == (raw / IMAGE_FOLDER / "43-4.jpg").read_bytes()
    assert copied.stat().st_nlink == 1


def test_annotated_images_that_are_not_there_are_told(root: Path, raw: Path) -> None:
    (raw / IMAGE_FOLDER / "46-0.jpg").unlink()
    reports: list[WorkReport] = []
    with pytest.raises(DataError, match="classes without images: location_46/bird"):
        add(root, raw, reports)
    assert WorkNote("1 annotated images are missing: 46-0.jpg, …") in reports
    for image in (raw / IMAGE_FOLDER).iterdir():
        image.unlink()
    with pytest.raises(DataError, match="has none of the images"):
        add(root, raw)
    assert list(root.iterdir()) == []


def test_what_is_wrong_with_the_annotations_is_told(root: Path, raw: Path) -> None:
    (file,) = raw.glob("*.json")
    whole = file.read_text()
    file.write_text(whole[:200])
    with pytest.raises(DataError, match=r"caltech_images_20210113\.json cannot be read"):
        add(root, raw)
    write(raw, {"images": [], "annotations": [], "categories": []})
    with pytest.raises(DataError, match="has no annotations for the locations 38, 43, 46, 100"):
        add(root, raw)
    file.write_text(whole)
    (raw / IMAGE_FOLDER).rename(raw / "elsewhere")
    with pytest.raises(DataError, match=r"Unpack eccv_18_all_images_sm\.tar\.gz there"):
        add(root, raw)
    assert list(root.iterdir()) == []


def test_the_folder_that_domainbed_makes_is_registered_in_place(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "terra_incognita"
    for domain in DOMAINS:
        for category in CATEGORIES:
            (folder / domain / category).mkdir(parents=True)
            (folder / domain / category / "x.jpg").write_bytes(image_bytes(3, "JPEG"))
    assert add(root, folder).where == str(folder)
