"""Data sets that have a name: replaced, renamed and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.datasets.card import CARD_FILE
from engine.datasets.folders import open_image_set
from engine.datasets.named_sets import remove_dataset, rename_dataset
from engine.datasets.register import add_dataset
from engine.errors import DataError
from engine.protocol.datasets import AddDataset, DatasetListing, RemoveDataset, RenameDataset
from tests.engine.datasets.image_folders import MakeFolder, fill_folder

CLASSES = ("cat", "dog")


@pytest.fixture
def images(make_folder: MakeFolder) -> Path:
    """Return two domains of two classes of three images."""
    return make_folder(dict.fromkeys(("photo", "sketch"), CLASSES), 3)


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Return three domains of two classes of two images."""
    return fill_folder(tmp_path / "others", dict.fromkeys("abc", CLASSES), 2)


def add(root: Path, path: Path, name: str = "pets", *, replaces: bool = False) -> DatasetListing:
    request = AddDataset(str(root), name, str(path), replaces=replaces)
    return add_dataset(request, lambda _: None)


def pack(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


def domains(root: Path, name: str = "pets") -> tuple[str, ...]:
    return open_image_set(name, root / name).domains


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_moved_data_set_is_given_its_new_place(root: Path, images: Path, tmp_path: Path) -> None:
    add(root, images)
    moved = images.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="replace it with --replace"):
        add(root, moved)
    assert add(root, moved, replaces=True).where == str(moved)
    assert domains(root) == ("photo", "sketch")


def test_imported_images_are_replaced_by_others_and_by_a_folder(
    root: Path, images: Path, others: Path
) -> None:
    add(root, pack(images))
    listing = add(root, pack(others), replaces=True)
    assert domains(root) == ("a", "b", "c")
    assert entries(root / "pets") == [CARD_FILE, "images-2"]
    assert listing.where == str(root / "pets" / "images-2")
    assert open_image_set("pets", root / "pets").open_image(0).size == (40, 36)
    add(root, images, replaces=True)
    assert entries(root / "pets") == [CARD_FILE]
    assert entries(root) == ["pets"]


@pytest.mark.parametrize("at", ["write_card", "shutil.rmtree"])
def test_a_replacement_that_breaks_off_leaves_the_old_set_or_the_new_one(
    root: Path, images: Path, others: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(root, pack(images))

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    archive = pack(others)
    with monkeypatch.context() as patch:
        if at == "write_card":
            patch.setattr("engine.datasets.named_sets.write_card", die)
        else:
            patch.setattr("engine.datasets.named_sets.shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            add(root, archive, replaces=True)
    known = ("photo", "sketch") if at == "write_card" else ("a", "b", "c")
    assert domains(root) == known
    assert open_image_set("pets", root / "pets").open_image(0).size == (40, 36)
    add(root, archive, replaces=True)
    assert domains(root) == ("a", "b", "c")
    assert len(entries(root / "pets")) == 2


def test_images_that_no_run_can_be_made_of_replace_nothing(
    root: Path, images: Path, tmp_path: Path
) -> None:
    add(root, images)
    with pytest.raises(DataError, match="no images"):
        add(root, tmp_path / "home", replaces=True)
    assert domains(root) == ("photo", "sketch")
    with pytest.raises(DataError, match="inside the folder of the data set pets"):
        add(root, root / "pets" / "images", replaces=True)


def test_a_folder_that_was_made_by_hand_is_not_replaced(
    root: Path, images: Path, others: Path
) -> None:
    shutil.copytree(images, root / "pets")
    with pytest.raises(DataError, match="was not created by vld data add"):
        add(root, others, replaces=True)
    assert domains(root) == ("photo", "sketch")


def test_only_the_card_of_images_in_place_is_removed(root: Path, images: Path) -> None:
    add(root, images)
    trial = remove_dataset(RemoveDataset(str(root), "pets", is_trial=True))
    assert (trial.in_place, trial.files) == (str(images), 0)
    assert (root / "pets").exists()
    assert remove_dataset(RemoveDataset(str(root), "pets")) == trial
    assert not (root / "pets").exists()
    assert (images / "photo" / "cat" / "0.png").exists()


def test_imported_images_are_removed_with_a_damaged_card_too(root: Path, images: Path) -> None:
    add(root, pack(images))
    (root / "pets" / CARD_FILE).write_text("{")
    removed = remove_dataset(RemoveDataset(str(root), "pets"))
    assert (removed.in_place, removed.files) == (None, 12)
    assert removed.size_bytes > 0
    assert entries(root) == []


def test_a_link_is_removed_and_not_what_it_leads_to(root: Path, images: Path) -> None:
    root.mkdir(parents=True)
    (root / "pets").symlink_to(images)
    assert remove_dataset(RemoveDataset(str(root), "pets")).in_place == str(images)
    assert entries(root) == []
    assert (images / "photo").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("emoji", "is an embedded data set"),
        ("PACS", "is not on this machine"),
        ("pest", "mean pets"),
    ],
)
def test_what_was_not_added_is_not_removed(
    root: Path, images: Path, name: str, reason: str
) -> None:
    add(root, images)
    with pytest.raises(DataError, match=reason):
        remove_dataset(RemoveDataset(str(root), name))


def test_a_set_is_renamed(root: Path, images: Path) -> None:
    add(root, pack(images))
    renamed = rename_dataset(RenameDataset(str(root), "pets", "Pets"))
    assert renamed.name == "Pets"
    assert entries(root) == ["Pets"]
    assert open_image_set("x", root / "Pets").name == "Pets"


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("other", "already exists. Choose another name, or remove it with: "),
        ("Other", "only in case from other"),
        ("PACS", "is the name of a published data set"), ("pets", "is already named"),
        ("a b", "is not a valid data set name"), ("emoji", "is an embedded data set"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_free_is_not_given(
    root: Path, images: Path, new: str, reason: str
) -> None:
    add(root, images)
    add(root, images, "other")
    with pytest.raises(DataError, match=reason):
        rename_dataset(RenameDataset(str(root), "pets", new))
    assert domains(root) == ("photo", "sketch")
