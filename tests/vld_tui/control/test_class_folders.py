"""Images are sorted into class folders, and nothing is overwritten or left half."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disks import fill_up, small_disk
from vld_tui.control.class_folders import ClassFolderError, ClassFolders


def _source(folder: Path, name: str, content: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    return str(folder / name)


def _found(root: Path) -> dict[str, str]:
    files = (each for each in root.rglob("*") if not each.is_dir())
    return {str(each.relative_to(root)): each.read_text() for each in files}


def test_images_of_one_name_are_all_kept(tmp_path: Path) -> None:
    sources = [_source(tmp_path / f"from{at}", "a.png", f"image {at}") for at in range(3)]
    folders = ClassFolders(tmp_path / "into")
    for each in sources:
        folders.place(each, "cat")
    folders.place(sources[0], None)
    assert _found(tmp_path / "into") == {
        "cat/a.png": "image 0",
        "cat/a-2.png": "image 1",
        "cat/a-3.png": "image 2",
        "_unsure/a.png": "image 0",
    }
    assert folders.made == 4


def test_equal_images_of_one_name_are_both_copied(tmp_path: Path) -> None:
    folders = ClassFolders(tmp_path / "into")
    for at in range(2):
        folders.place(_source(tmp_path / f"from{at}", "a.png", "same"), "cat")
    assert sorted(_found(tmp_path / "into")) == ["cat/a-2.png", "cat/a.png"]


def test_another_run_copies_only_what_is_missing(tmp_path: Path) -> None:
    sources = [_source(tmp_path / f"from{at}", "a.png", f"image {at}") for at in range(3)]
    for count, made in ((2, 2), (3, 1), (3, 0)):
        folders = ClassFolders(tmp_path / "into")
        for each in sources[:count]:
            folders.place(each, "cat")
        assert (folders.made, folders.present) == (made, count - made)
    assert len(_found(tmp_path / "into")) == 3


def test_files_that_exist_are_not_overwritten(tmp_path: Path) -> None:
    _source(tmp_path / "into" / "cat", "a.png", "the user's own")
    (tmp_path / "into" / "cat" / "b.png").mkdir()
    folders = ClassFolders(tmp_path / "into")
    for name in ("a.png", "b.png"):
        folders.place(_source(tmp_path / "from", name, "new"), "cat")
    found = _found(tmp_path / "into")
    assert found == {"cat/a.png": "the user's own", "cat/a-2.png": "new", "cat/b-2.png": "new"}


def test_links_lead_to_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [_source(Path(f"from{at}"), "a.png", f"image {at}") for at in range(2)]
    for _ in range(2):
        folders = ClassFolders(Path("into"), links=True)
        for each in sources:
            folders.place(each, "cat")
    assert (folders.made, folders.present) == (0, 2)
    assert os.readlink("into/cat/a-2.png") == str(tmp_path / "from1" / "a.png")
    assert _found(Path("into")) == {"cat/a.png": "image 0", "cat/a-2.png": "image 1"}


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", " ", "_unsure"])
def test_class_names_stay_within_the_folder(tmp_path: Path, name: str) -> None:
    folders = ClassFolders(tmp_path / "into")
    source = _source(tmp_path / "from", "a.png", "image")
    folders.place(source, None)
    folders.place(source, name)
    assert len(_found(tmp_path / "into")) == 2
    assert {each.parent for each in (tmp_path / "into").rglob("a.png")} == set(
        (tmp_path / "into").iterdir()
    )


@pytest.fixture
def short_files() -> Iterator[None]:
    """Let this process write no file longer than 1,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_half_copy_is_left(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    small = _source(tmp_path / "from", "small.png", "x")
    large = _source(tmp_path / "from", "large.png", "x" * 5000)
    request.getfixturevalue("short_files")
    folders = ClassFolders(tmp_path / "into")
    folders.place(small, "cat")
    with pytest.raises(
        ClassFolderError, match=r"large\.png could not be copied .*\n1 image copied"
    ):
        folders.place(large, "cat")
    assert list(_found(tmp_path / "into")) == ["cat/small.png"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    sources = [_source(tmp_path / "from", f"{at}.png", "x" * 9000) for at in range(40)]
    with small_disk(tmp_path / "disk", 1) as disk:
        fill_up(disk).write_bytes(b"x" * (2**20 - 150_000))
        folders = ClassFolders(disk / "into")

        def place_all() -> None:
            for each in sources:
                folders.place(each, "cat")

        with pytest.raises(ClassFolderError, match=r"the disk .*/disk \(1\.0 MiB, .* is full"):
            place_all()
        copies = _found(disk / "into")
        assert folders.made == len(copies) > 2
        assert all(len(text) == 9000 for text in copies.values())
