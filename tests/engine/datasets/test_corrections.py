"""Exclude lists: images that a data set leaves out or reads with another class."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.data import load_data
from engine.datasets.card import read_card
from engine.datasets.catalog import CATALOG, describe, find_image_set, list_datasets
from engine.datasets.check import check_images
from engine.datasets.folders import ImageSet, open_image_set
from engine.datasets.register import add_dataset
from engine.errors import DataError
from engine.protocol import resolve_spec
from engine.protocol.datasets import AddDataset, DatasetListing, LeftOut
from engine.protocol.exclude_lists import Decision, exclude_list
from tests.engine.datasets.image_folders import MakeFolder, fill_folder
from tests.engine.datasets.test_layouts import zipped

CLASSES = ("cat", "dog")


@pytest.fixture
def images(make_folder: MakeFolder) -> Path:
    """Return two domains of two classes of six images."""
    return make_folder(dict.fromkeys(("photo", "toy"), CLASSES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the list is."""
    return tmp_path / "list.csv"


def write_list(file: Path, *decisions: Decision) -> str:
    file.write_bytes(exclude_list(decisions))
    return str(file)


def cells(image_set: ImageSet) -> dict[str, str]:
    return {each.path: f"{each.domain}/{each.class_name}" for each in image_set.files}


def add(root: Path, path: Path, **how: object) -> DatasetListing:
    request = AddDataset(str(root), "pets", str(path), **how)  # type: ignore[arg-type]
    return add_dataset(request, lambda _: None)


DECISIONS = (
    Decision("photo/cat/0.png"),
    Decision("photo/cat/1.png", "relabel", "dog"),
    Decision("toy/dog/2.png", "keep"),
)


def check_decided(image_set: ImageSet) -> None:
    found = cells(image_set)
    assert "photo/cat/0.png" not in found
    assert (found["photo/cat/1.png"], found["toy/dog/2.png"]) == ("photo/dog", "toy/dog")
    assert (len(image_set), image_set.classes) == (23, CLASSES)
    assert [each for each in image_set.left_out if "--exclude" in each.kind] == [
        LeftOut("images that --exclude lists", 1, "photo/cat/0.png"),
        LeftOut("labels that --exclude corrects", 1, "photo/cat/1.png: cat → dog"),
    ]
    assert list(found.values()) == sorted(found.values())


def test_folders_archives_and_tables_are_read_with_a_list(
    images: Path, file: Path, tmp_path: Path
) -> None:
    path = write_list(file, *DECISIONS)
    table = images / "table.csv"
    with table.open("w") as out:
        rows = csv.writer(out)
        rows.writerow(("path", "label", "domain"))
        for each in images.rglob("*.png"):
            name = each.relative_to(images)
            rows.writerow((name, *reversed(name.parts[:2])))
    packed = zipped(images)
    for location in (images, packed, table):
        image_set = open_image_set("pets", location, exclude=path)
        check_decided(image_set)
        image_set.open_image(0)


def test_an_embedded_data_set_is_read_with_a_list(file: Path) -> None:
    first = open_image_set("emoji", CATALOG["emoji"]).files[0].path
    spec = resolve_spec({"dataset": "emoji", "exclude": write_list(file, Decision(first))})
    assert first not in cells(find_image_set(spec))


def test_a_registered_data_set_keeps_its_list_and_a_run_adds_another(
    root: Path, images: Path, file: Path
) -> None:
    listing = add(root, images, exclude=write_list(file, *DECISIONS))
    assert (sum(each.images for each in listing.domains), listing.notes) == (23, ())
    file.unlink()
    check_decided(open_image_set("pets", root / "pets"))
    (listed,) = [each for each in list_datasets(root) if each.name == "pets"]
    assert (listed.left_out, listed.complete) == (listing.left_out, True)
    more = write_list(file, Decision("toy/cat/0.png"))
    image_set = open_image_set("pets", root / "pets", exclude=more)
    assert (len(image_set), "toy/cat/0.png" in cells(image_set)) == (22, False)
    assert image_set.left_out == (
        LeftOut("images that --exclude lists", 2, "photo/cat/0.png"),
        LeftOut("labels that --exclude corrects", 1, "photo/cat/1.png: cat → dog"),
    )
    add(root, images, replaces=True)
    assert len(open_image_set("pets", root / "pets")) == 24


def test_a_table_is_registered_with_a_list(root: Path, images: Path, file: Path) -> None:
    table = images / "table.csv"
    lines = [f"{each.relative_to(images)},{each.parent.name},{each.parent.parent.name}\n"
             for each in images.rglob("*.png")]  # fmt: skip
    table.write_text("path,label,domain\n" + "".join(lines))
    full = Decision(str(images / "photo/cat/0.png"))
    add(root, table, exclude=write_list(file, full, DECISIONS[1]))
    check_decided(open_image_set("pets", root / "pets"))


@pytest.mark.parametrize(
    "text",
    [
        "photo/cat/0.png\n",
        "\ufeff# seen twice\r\n\r\nphoto\\cat\\0.png\r\n",
        "./photo/cat/0.png",
        "path\nphoto/cat/0.png\n",
        "# by hand\nPath;Action;Score\nphoto/cat/0.png;Exclude;0.5\n",
        "\ufeffsep=;\r\npath;action;class\r\nphoto/cat/0.png;exclude;\r\n",
        "path,action,class\nphoto/cat/0.png,exclude,cat\nphoto/cat/0.png,exclude,\n",
    ],
)
def test_ways_to_write_a_list(images: Path, file: Path, text: str) -> None:
    file.write_text(text, newline="", encoding="utf-8")
    assert "photo/cat/0.png" not in cells(open_image_set("pets", images, exclude=str(file)))


def test_a_path_that_begins_like_a_comment(tmp_path: Path, file: Path) -> None:
    root = fill_folder(tmp_path / "images", {"#1": CLASSES, "#2": CLASSES})
    for text in (exclude_list([Decision("#1/cat/0.png")]).decode(), "./#1/cat/0.png"):
        file.write_text(text)
        assert len(open_image_set("pets", root, exclude=str(file))) == 23


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("photo/cta/0.png", r"lists photo/cta/0.png, which is not an image of .*images\. Did you "
         r"mean photo/cat/0.png"),
        ("path,action\nphoto/cat/99.png,exclude", "lists photo/cat/99.png, which is not an image"),
        ("path,action\nphoto/cat/0.png,exlude", "'exlude' for photo/cat/0.png, but must have one "
         "of exclude, relabel, keep. Did you mean exclude?"),
        ("path,action,class\nphoto/cat/0.png,relabel,", "relabels photo/cat/0.png without a class"),
        ("path,action,class\nphoto/cat/0.png,relabel,dgo", "relabels photo/cat/0.png as dgo, which "
         "is not a class of .*images. Did you mean dog?"),
        ("path,action,class\nphoto/cat/0.png,relabel,dog\nphoto/cat/0.png,exclude,",
         "two different lines for photo/cat/0.png"),
        ("path,action\nphoto/cat/0.png,", "Line 2 of .* has no action"),
        ("file,action\nphoto/cat/0.png,", "has no column path; its columns are file, action"),
        ("\0\1\2", "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_named(
    images: Path, file: Path, text: str, words: str
) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        open_image_set("pets", images, exclude=str(file))


def test_a_list_that_is_no_file_is_not_advised_to_be_deleted(images: Path, file: Path) -> None:
    with pytest.raises(DataError, match=r"images is a folder\. --exclude takes a CSV file\.$"):
        open_image_set("pets", images, exclude=str(images))
    file.symlink_to(images)
    with pytest.raises(DataError, match=r"is a folder\."):
        open_image_set("pets", images, exclude=str(file))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(
        DataError, match=r"is not a regular file\. --exclude takes a regular CSV file\.$"
    ):
        open_image_set("pets", images, exclude=str(file))


def test_a_list_that_is_missing_or_leaves_nothing(root: Path, images: Path, file: Path) -> None:
    with pytest.raises(DataError, match=r"list.csv cannot be read: No such file"):
        open_image_set("pets", images, exclude=str(file))
    cats = [Decision(f"photo/cat/{number}.png") for number in range(6)]
    dogs = [Decision(f"photo/dog/{number}.png") for number in range(6)]
    for decisions, words in (
        (cats, "leaves no images in class photo/cat"),
        ([*cats, *dogs], "leaves no images in domain photo"),
        ([Decision(each) for each in cells(open_image_set("pets", images))], "domains photo, toy"),
    ):
        path = write_list(file, *decisions)
        with pytest.raises(DataError, match=words):
            open_image_set("pets", images, exclude=path)
        with pytest.raises(DataError, match=words):
            add(root, images, exclude=path)
        assert not (root / "pets").exists()
    listing = add(root, images, exclude=write_list(file, *cats), keep_missing_classes=True)
    assert sum(each.images for each in listing.domains) == 18


def test_a_list_changes_the_digest_of_a_run_s_images(
    images: Path, file: Path, tmp_path: Path
) -> None:
    def digest(*decisions: Decision) -> str:
        spec = resolve_spec(
            {"data_dir": str(images), "target": "toy", "image_size": 32,
             "exclude": write_list(file, *decisions)}
        )  # fmt: skip
        return load_data(spec, tmp_path / "cache").digest

    last = "photo/cat/5.png"  # its label changes nothing of the order of the images
    decided = [(), (Decision(last),), (Decision(last, "relabel", "dog"),)]
    digests = [digest(*each) for each in decided]
    assert len(set(digests)) == 3
    assert digest(Decision(last, "keep")) == digests[0]


def test_a_domain_that_a_list_was_chosen_on_cannot_be_the_target(
    root: Path, images: Path, file: Path, tmp_path: Path
) -> None:
    file.write_text("path,action,class,near_domain\nphoto/cat/0.png,exclude,,toy\n")
    add(root, images, exclude=str(file))
    for place in (
        {"data_dir": str(images), "exclude": str(file)},
        {"data_dir": str(root / "pets")},
    ):
        spec = resolve_spec({**place, "target": "toy", "image_size": 32})
        with pytest.raises(DataError, match="chose images by their distance to toy"):
            load_data(spec, tmp_path / "cache")
        assert load_data(replace(spec, target="photo"), tmp_path / "cache").target is not None


def test_a_list_is_described(images: Path, file: Path) -> None:
    image_set = open_image_set("pets", images, exclude=write_list(file, *DECISIONS))
    assert describe("pets", image_set).left_out == image_set.left_out


def test_a_check_reports_listed_images_that_are_gone(root: Path, images: Path, file: Path) -> None:
    add(root, images, exclude=write_list(file, *DECISIONS))
    card = read_card(root / "pets")

    def warnings() -> list[str]:
        image_set = open_image_set("pets", root / "pets", use="check")
        found = check_images(image_set, 0, lambda _done, _total: None, card=card)
        return [each.text for each in found.findings if "exclude list of pets" in each.text]

    assert warnings() == []
    (images / "photo/cat/0.png").rename(images / "photo/cat/zero.png")
    (warning,) = warnings()
    assert "lists photo/cat/0.png, which is not an image" in warning
