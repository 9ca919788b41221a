"""Images are found in files, folders, globs and tables, in order, and none is dropped silently."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from engine.errors import InputError
from engine.inference.listing import FoundImages


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of images, some in folders in it, and make its parent the current one."""
    root = tmp_path / "photos"
    for name in ("b.png", "a.jpg", "in/c.webp", "in/deep/d.png", "[1].png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)
    (root / "notes.txt").write_text("no image")
    (root / "raw.cr2").write_text("II*\0")
    (root / ".hidden").mkdir()
    Image.new("RGB", (4, 4)).save(root / ".hidden" / "e.png")
    monkeypatch.chdir(tmp_path)
    return root


EVERY = ["[1].png", "a.jpg", "b.png", "in/c.webp", "in/deep/d.png"]


def test_a_folder_is_searched_and_other_files_are_named(photos: Path) -> None:
    found = FoundImages(["photos"])
    assert found.files == [f"photos/{name}" for name in EVERY]
    [text] = found.left_out
    assert text.startswith("photos: left out: ")
    for kind in ("1 .cr2", "1 other file (notes.txt)", "1 hidden folder (.hidden)"):
        assert kind in text


def test_files_and_globs_keep_their_order_and_are_found_once(photos: Path) -> None:
    paths = ["photos/b.png", "photos/*.png", "photos/in/**/*.png", "photos/[1].png"]
    expected = ["photos/b.png", "photos/[1].png", "photos/in/deep/d.png"]
    assert FoundImages(paths).files == expected
    assert FoundImages(["photos/*"]).files[0] == "photos/[1].png"
    assert len(FoundImages([str(photos), "photos"]).files) == len(EVERY)


def test_a_file_that_is_named_is_tried_whatever_it_is(photos: Path) -> None:
    assert FoundImages(["photos/notes.txt"]).files == ["photos/notes.txt"]
    os.symlink("nowhere", photos / "link.png")
    assert FoundImages(["photos/link.png"]).files == ["photos/link.png"]


def test_tables_name_paths_relative_to_their_folder(photos: Path) -> None:
    table = photos / "list.csv"
    table.write_text("label,Path\nx,b.png\ny,in/c.webp\ny,b.png\n")
    expected = ["photos/b.png", "photos/in/c.webp", "photos/b.png"]
    assert FoundImages(["photos/list.csv"]).files == expected
    columns = pyarrow.table({"file": ["a.jpg", str(photos / "b.png")]})
    pyarrow.parquet.write_table(columns, photos / "list.parquet")
    found = FoundImages(["photos/list.parquet"], path_column="file").files
    assert found == ["photos/a.jpg", str(photos / "b.png")]
    for name in ("list.csv", "list.parquet"):
        with pytest.raises(InputError, match=r"has no column image; .* --path-column"):
            FoundImages([f"photos/{name}"], path_column="image")


def test_a_folder_in_it_can_be_skipped(photos: Path) -> None:
    found = FoundImages(["photos", "photos/in/c.webp"], skipped_folder="photos/in")
    assert found.files == [f"photos/{name}" for name in EVERY[:3]] + ["photos/in/c.webp"]


def test_globs_leave_out_the_skipped_folder_and_named_files_stay(photos: Path) -> None:
    os.symlink(photos / "a.jpg", photos / "in" / "deep" / "link.jpg")
    os.symlink(photos / "in", photos / "also")
    kept = [f"photos/{name}" for name in EVERY[:3]]
    for pattern in ("photos/**/*.*", "photos/**", "photos/*", "photos/*.*"):
        found = FoundImages([pattern], skipped_folder="photos/in").files
        assert [file for file in found if Path(file).suffix in (".png", ".jpg", ".webp")] == kept
    copies = ["photos/in/c.webp", "photos/in/deep/link.jpg"]
    (photos / "list.csv").write_text("path\nin/c.webp\n")
    named = [copies[1], "photos/list.csv"]
    found = FoundImages(named, copies, skipped_folder="photos/in").files
    assert found == [copies[1], copies[0], *copies]
    with pytest.raises(InputError, match="No images found in photos/in/"):
        FoundImages(["photos/in/*.webp"], skipped_folder="photos/in")


def test_listed_files_are_kept_as_they_are(photos: Path) -> None:
    assert FoundImages([], ["x.png", "photos/a.jpg", "x.png"]).files == [
        "x.png", "photos/a.jpg", "x.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("photos/x.png", "No file or folder photos/x.png"),
        ("photos/*.gif", r"No file matches 'photos/\*\.gif'"),
        ("empty", "No images found in empty"),
    ],
)
def test_what_is_missing_is_told(photos: Path, path: str, message: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match=message):
        FoundImages([path])


def test_no_images_name_the_other_files(photos: Path) -> None:
    for name in EVERY:
        (photos / name).unlink()
    with pytest.raises(InputError, match=r"No images found in photos\. photos: left out: .*\.cr2"):
        FoundImages(["photos"])
    with pytest.raises(InputError, match="No images found on standard input"):
        FoundImages([], [])
