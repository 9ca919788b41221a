"""Images that are given a name."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from engine.data import load_data
from engine.datasets.card import CARD_FILE
from engine.datasets.catalog import CATALOG, list_datasets
from engine.datasets.folders import open_image_set
from engine.datasets.register import add_dataset
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol import resolve_spec
from engine.protocol.datasets import (
    STUDY_DATASETS,
    AddDataset,
    DatasetListing,
    LeftOut,
)
from engine.protocol.embedded import EMBEDDED_DATASETS
from tests.engine.datasets.image_folders import MakeFolder, fill_folder

CLASSES = ("cat", "dog")


@pytest.fixture
def images(make_folder: MakeFolder) -> Path:
    """Return three domains of two classes of three images."""
    return make_folder(dict.fromkeys(("photo", "sketch", "toy"), CLASSES), 3)


def add(root: Path, path: Path, name: str = "pets", **how: object) -> DatasetListing:
    request = AddDataset(str(root), name, str(path), **how)  # type: ignore[arg-type]
    return add_dataset(request, lambda _: None)


def counts(listing: DatasetListing) -> dict[str, int]:
    return {domain.name: domain.images for domain in listing.domains}


def test_a_folder_is_registered_where_it_lies(root: Path, images: Path) -> None:
    listing = add(root, images)
    assert counts(listing) == {"photo": 6, "sketch": 6, "toy": 6}
    assert (listing.name, listing.where, listing.complete) == ("pets", str(images), True)
    assert listing.classes == CLASSES
    assert [path.name for path in (root / "pets").iterdir()] == [CARD_FILE]
    by_name = open_image_set("pets", root / "pets")
    assert by_name.files == open_image_set("pets", images).files
    assert listing in list_datasets(root)


def test_only_some_domains(root: Path, images: Path) -> None:
    assert counts(add(root, images, domains=("toy", "photo"))) == {"photo": 6, "toy": 6}
    with pytest.raises(DataError, match="has no domain car. Its domains: photo, sketch, toy"):
        add(root, images, "other", domains=("toy", "car"))


@pytest.mark.parametrize("folders", [("train", "test", "crossval"), ("train", "val")])
def test_folders_of_splits_below_a_domain_are_put_together(
    root: Path, make_folder: MakeFolder, folders: tuple[str, ...]
) -> None:
    tree = {f"{domain}/{split}": CLASSES for domain in ("a", "b") for split in folders}
    assert counts(add(root, make_folder(tree, 2))) == dict.fromkeys("ab", 4 * len(folders))


def test_the_folder_of_all_images_is_preferred_to_its_splits(
    root: Path, make_folder: MakeFolder
) -> None:
    tree = {f"{domain}/{split}": CLASSES for domain in ("a", "b") for split in ("full", "train")}
    assert counts(add(root, make_folder(tree, 2))) == {"a": 4, "b": 4}


def test_listed_images_are_left_out(root: Path, images: Path, tmp_path: Path) -> None:
    first = open_image_set("pets", images).files[0].path
    duplicates = tmp_path / "duplicates.txt"
    windows = first.replace("/", "\\")
    duplicates.write_text(f"\ufeff{windows}\r\n\r\nnot/there/x.png\r\n", newline="")
    listing = add(root, images, exclude=str(duplicates))
    assert counts(listing)["photo"] == 5
    assert listing.left_out == (LeftOut("images that --exclude lists", 1, first),)
    (note,) = listing.notes
    assert f"The exclude list {duplicates} lists not/there/x.png, which is not an image" in note
    duplicates.write_text("images/not/there/x.png\n")
    with pytest.raises(DataError, match="lists images/not/there/x.png, which is not an image"):
        add(root, images, "other", exclude=str(duplicates))
    with pytest.raises(DataError, match="cannot be read"):
        add(root, images, "other", exclude=str(tmp_path / "nowhere.txt"))


def test_a_class_that_a_domain_lacks_can_be_kept(
    root: Path, make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder({"a": ("cat", "dog"), "b": ("cat",), "c": ("cat", "dog")}, 8)
    with pytest.raises(DataError, match="b lacks dog.*--keep-missing-classes"):
        add(root, folder)
    assert not (root / "pets").exists()
    assert add(root, folder, keep_missing_classes=True).classes == ("cat", "dog")
    values = {"data_dir": str(root / "pets"), "target": "c", "image_size": 32}
    data = load_data(resolve_spec(values), tmp_path / "cache")
    assert data.classes == ("cat", "dog")
    (b,) = [domain for domain in data.domains if domain.name == "b"]
    assert set(b.labels.tolist()) == {0}


def test_domain_net_lacks_a_class_without_being_told(root: Path, make_folder: MakeFolder) -> None:
    classes = [f"class{number:03}" for number in range(345)]
    tree = dict.fromkeys(STUDY_SETS["DomainNet"].images, classes) | {"painting": classes[1:]}
    listing = add(root, make_folder(tree, 1, (2, 2)), "DomainNet")
    assert listing.classes == tuple(classes)
    assert not listing.complete
    assert {domain.name: domain.expected for domain in listing.domains}["painting"] == 72_266


def test_a_published_name_is_for_its_domains_and_classes_only(root: Path, images: Path) -> None:
    with pytest.raises(DataError) as refusal:
        add(root, images, "PACS")
    assert str(refusal.value) == (
        "PACS is the name of a published data set, which has the domains art_painting, cartoon, "
        "photo, sketch, but these are photo, sketch, toy. Choose another name."
    )
    assert not (root / "PACS").exists()
    vlcs = fill_folder(root.parent / "vlcs", dict.fromkeys(STUDY_SETS["VLCS"].images, "abcd"), 1)
    with pytest.raises(DataError, match="which has 5 classes, but this has 4"):
        add(root, vlcs, "VLCS")


def test_a_set_of_an_older_home_under_a_published_name_is_incomplete(
    root: Path, images: Path
) -> None:
    add(root, images)
    (root / "pets").rename(root / "PACS")
    (listing,) = [each for each in list_datasets(root) if each.name == "PACS"]
    assert not listing.complete
    assert listing.mismatch is not None
    assert any(note.startswith("This is not the published PACS") for note in listing.notes)


def test_names_that_only_case_tells_apart_are_refused(root: Path, images: Path) -> None:
    add(root, images, "base2")
    for name, other in (("Base2", "base2"), ("pacs", "PACS")):
        with pytest.raises(DataError, match=f"{name} differs only in case from {other}"):
            add(root, images, name)


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b"])
def test_a_name_that_is_no_plain_word_is_refused(root: Path, images: Path, name: str) -> None:
    with pytest.raises(DataError, match="is not a valid data set name"):
        add(root, images, name)


def test_a_name_that_is_taken_is_refused(root: Path, images: Path) -> None:
    add(root, images)
    with pytest.raises(DataError, match="already"):
        add(root, images)
    with pytest.raises(DataError, match="embedded"):
        add(root, images, "Emoji")


@pytest.mark.parametrize("name", ["nowhere", "notes.txt"])
def test_what_is_no_folder_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("no images")
    with pytest.raises(DataError, match="no file or folder|not a folder of domain"):
        add(root, tmp_path / name)


def test_a_home_that_cannot_be_written_is_told(root: Path, images: Path) -> None:
    root.parent.write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        add(root, images)


def test_a_damaged_card_is_told_and_listed(root: Path, images: Path) -> None:
    add(root, images)
    (root / "pets" / CARD_FILE).write_text('{"name": "pets"}')
    with pytest.raises(DataError, match="damaged"):
        open_image_set("pets", root / "pets")
    (listing,) = [each for each in list_datasets(root) if each.name == "pets"]
    assert not listing.complete
    assert "damaged" in listing.notes[0]


def test_a_file_of_that_name_by_another_program_is_no_card(images: Path) -> None:
    (images / CARD_FILE).write_text('{"labels": [["00000/img.png", 6]]}')
    assert len(open_image_set("x", images)) == 18


class TestTables:
    def table(self, folder: Path, rows: list[dict[str, str]]) -> Path:
        path = folder / "images.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    def rows(self, images: Path) -> list[dict[str, str]]:
        return [
            {"file": file.path, "y": file.class_name, "hospital": f"h{index % 2}", "age": "3"}
            for index, file in enumerate(open_image_set("x", images).files)
        ]

    def test_a_table_says_label_and_domain(self, root: Path, images: Path, tmp_path: Path) -> None:
        table = self.table(images, self.rows(images))
        columns = {"path_column": "file", "label_column": "y", "domain_column": "hospital"}
        listing = add(root, table, **columns)
        assert counts(listing) == {"h0": 9, "h1": 9}
        values = {"data_dir": str(root / "pets"), "target": "h1", "image_size": 32}
        data = load_data(resolve_spec(values), tmp_path / "cache")
        assert [len(domain.labels) for domain in data.domains] == [9, 9]
        assert data.skipped == ()

    def test_images_of_a_group_are_all_trained_on_or_all_held_out(
        self, root: Path, images: Path, tmp_path: Path
    ) -> None:
        rows = self.rows(images)
        for number, row in enumerate(rows):
            row["patient"] = f"p{number // 3}"
        table = self.table(images, rows)
        columns = {"path_column": "file", "label_column": "y", "domain_column": "hospital"}
        add(root, table, **columns, group_column="patient")
        add(root, table, "single", **columns)
        values = {"target": "h1", "image_size": 32, "data_dir": str(root / "pets")}
        data = load_data(resolve_spec(values), tmp_path / "cache")
        for domain in data.domains:
            sides = [
                {data.image_set.files[domain.rows[index]].group for index in side}
                for side in (domain.in_indices, domain.out_indices)
            ]
            assert all(sides)
            assert sides[0].isdisjoint(sides[1])
        single = load_data(
            resolve_spec({**values, "data_dir": str(root / "single")}), tmp_path / "cache"
        )
        assert single.digest != data.digest
        assert single.image_set.reading == ""
        assert data.image_set.reading == "keeping all images of a group on one side of the split"
        with pytest.raises(DataError, match="no column ward; .*and --group-column"):
            add(root, table, "other", **columns, group_column="ward")
        with pytest.raises(DataError, match="--group-column is only for tables"):
            add(root, images, "other", group_column="patient")

    def test_a_missing_column_names_those_there_are(self, root: Path, images: Path) -> None:
        table = self.table(images, self.rows(images))
        with pytest.raises(DataError, match="no column path, label, domain; its columns are file"):
            add(root, table)

    def test_rows_without_a_value_are_named_by_line(self, root: Path, images: Path) -> None:
        rows = self.rows(images)
        rows[2]["y"] = ""
        table = self.table(images, rows)
        columns = {"path_column": "file", "label_column": "y", "domain_column": "hospital"}
        with pytest.raises(DataError, match=r"Line 4 of .*images\.csv has no y\. Fill"):
            add(root, table, **columns)

    def test_a_file_that_is_not_there_is_an_unreadable_image(
        self, root: Path, images: Path, tmp_path: Path
    ) -> None:
        rows = self.rows(images)
        rows[0]["file"] = "gone.png"
        table = self.table(images, rows)
        columns = {"path_column": "file", "label_column": "y", "domain_column": "hospital"}
        listing = add(root, table, **columns)
        assert listing.notes == ("! 1 file of the table does not exist: gone.png",)
        values = {"data_dir": str(root / "pets"), "target": "h1", "image_size": 32}
        with pytest.raises(DataError, match=r"gone\.png"):
            load_data(resolve_spec(values), tmp_path / "cache")


def test_images_that_were_lost_since_are_told(root: Path, images: Path) -> None:
    add(root, images)
    (images / "toy" / "cat" / "0.png").unlink()
    (listing,) = [each for each in list_datasets(root) if each.name == "pets"]
    assert not listing.complete
    assert listing.notes == ("toy had 6 images when added, but has 5 now.",)


def test_a_folder_that_went_away_is_told(root: Path, images: Path) -> None:
    add(root, images)
    images.rename(images.with_name("moved"))
    with pytest.raises(DataError) as refusal:
        open_image_set("pets", root / "pets")
    assert str(refusal.value) == (
        f"The images of pets are missing: {images}. Restore them, or add their new location: "
        "vld data add pets PATH --replace"
    )
    (listing,) = [each for each in list_datasets(root) if each.name == "pets"]
    assert not listing.complete


def test_a_class_that_came_later_is_refused(root: Path, make_folder: MakeFolder) -> None:
    folder = make_folder({"a": ("cat", "dog"), "b": ("cat",)}, 2)
    add(root, folder, keep_missing_classes=True)
    (folder / "b" / "cow").mkdir()
    with pytest.raises(DataError, match="classes that it did not have when it was added: cow"):
        open_image_set("pets", root / "pets")


def test_vlcs_is_counted_by_any_of_its_names(root: Path, make_folder: MakeFolder) -> None:
    tree = {
        f"{domain}/{split}": ("0", "1", "2", "3", "4")
        for domain in ("CALTECH", "LABELME", "PASCAL", "SUN")
        for split in ("crossval", "full", "test", "train")
    }
    listing = add(root, make_folder(tree, 1), "VLCS")
    assert {domain.name: (domain.images, domain.expected) for domain in listing.domains} == {
        "CALTECH": (5, 1415), "LABELME": (5, 2656), "PASCAL": (5, 3376), "SUN": (5, 3282),
    }  # fmt: skip
    assert listing.classes == ("0", "1", "2", "3", "4")
    assert not listing.complete


def test_a_whole_published_set_is_complete(root: Path, tmp_path: Path) -> None:
    def table(counts: dict[str, int], classes: int = 5) -> Path:
        path = tmp_path / "table.csv"
        rows = [
            f"{domain}/{number}.jpg,{number % classes},{domain}"
            for domain, count in counts.items()
            for number in range(count)
        ]
        for row in rows:
            (tmp_path / row.partition(",")[0]).parent.mkdir(exist_ok=True)
            (tmp_path / row.partition(",")[0]).touch()
        path.write_text("\n".join(["path,label,domain", *rows]))
        return path

    published = {"Caltech101": 1415, "LabelMe": 2656, "SUN09": 3282, "VOC2007": 3376}
    assert add(root, table(published), "VLCS").complete
    today = {"L100": 4800, "L38": 9700, "L43": 3930, "L46": 5900}
    assert sum(today.values()) == 24_330
    assert add(root, table(today, 10), "TerraIncognita").complete
    assert not add(
        root.parent / "other", table({**today, "L46": 5899}, 10), "TerraIncognita"
    ).complete


def test_the_names_that_the_interface_knows_are_those_of_the_engine() -> None:
    assert set(EMBEDDED_DATASETS) == set(CATALOG)
    assert set(STUDY_DATASETS) == set(STUDY_SETS)
