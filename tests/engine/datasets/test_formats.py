"""Images by their content, and files next to them that are never used but always counted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from engine.datasets.folders import open_image_set
from engine.protocol.datasets import LeftOut, left_out_text
from engine.protocol.extras import install_command
from tests.engine.datasets.image_folders import fill_paths, spread
from tests.engine.datasets.test_layouts import zipped

PATHS = spread("{a,b}/{cat,dog}", count=1)
PICTURE = Image.fromarray(np.arange(0, 192, 1, dtype=np.uint8).reshape(8, 8, 3))
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
IMAGES = spread("{art,photo}/{cat,dog}")


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("name", ["x.{}", "X", "x.jpg_large", "x.1"])
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("JPEG", "jfif"), ("JPEG", "JPE"), ("GIF", "gif"), ("JPEG2000", "jp2"), ("PNG", "apng"),
        ("BMP", "dib"), ("PPM", "pnm"), ("TIFF", "tif"), ("WEBP", "webp"),
        pytest.param("AVIF", "avif", marks=needs_avif),
    ],
)  # fmt: skip
def test_an_image_is_found_by_its_suffix_or_its_content(
    tmp_path: Path, kind: str, suffix: str, name: str
) -> None:
    root = fill_paths(tmp_path, *PATHS)
    path = root / "a" / "cat" / name.format(suffix)
    path.write_bytes(encoded(kind))
    image_set = open_image_set("x", root)
    paths = [file.path for file in image_set.files]
    assert image_set.open_image(paths.index(f"a/cat/{path.name}")).size == (8, 8)
    assert (len(image_set), image_set.left_out) == (5, ())


@pytest.mark.parametrize("name", ["raw.nef", "raw.DNG", "notes.txt", "labels.json"])
def test_files_of_other_programs_are_not_read_though_they_begin_as_an_image_does(
    tmp_path: Path, name: str
) -> None:
    root = fill_paths(tmp_path, *PATHS)
    (root / "a" / "cat" / name).write_bytes(encoded("TIFF"))
    image_set = open_image_set("x", root)
    assert len(image_set) == 4
    (left_out,) = image_set.left_out
    assert (left_out.count, left_out.example) == (1, f"a/cat/{name}")


@pytest.mark.parametrize("content", [b"BMW is a car, and this is text of it", b"P5", b"", b"GIF"])
def test_text_that_begins_a_little_like_an_image_is_none(tmp_path: Path, content: bytes) -> None:
    root = fill_paths(tmp_path, *PATHS)
    (root / "a" / "cat" / "README").write_bytes(content)
    image_set = open_image_set("x", root)
    assert len(image_set) == 4
    assert image_set.left_out == (LeftOut("other files", 1, "a/cat/README"),)


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "IMG_1.heif", "IMG_1"])
def test_heic_is_read_where_the_extra_is_installed(tmp_path: Path, name: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    root = fill_paths(tmp_path, *PATHS)
    pillow_heif.from_pillow(PICTURE).save(root / "a" / "cat" / name)
    image_set = open_image_set("x", root)
    index = [file.path for file in image_set.files].index(f"a/cat/{name}")
    assert image_set.open_image(index).size == (8, 8)


def test_heic_is_counted_where_the_extra_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.datasets.formats.readable_extensions", lambda: frozenset([".png"]))
    root = fill_paths(tmp_path, *PATHS)
    for name in ("IMG_1.HEIC", "IMG_2"):
        (root / "a" / "cat" / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    left_out = open_image_set("x", root).left_out
    assert [(each.kind, each.count) for each in left_out] == [(".heic", 2)]


def counts(root: Path) -> dict[str, int]:
    """Return what is left out of a folder, after a look that an archive of it says the same."""
    found = []
    for location in (root, zipped(root)):
        image_set = open_image_set("x", location)
        assert (image_set.domains, image_set.classes) == (("art", "photo"), ("cat", "dog"))
        assert [file.path for file in image_set.files] == sorted(IMAGES)
        found.append({each.kind: each.count for each in image_set.left_out})
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("where", ["", "photo/", "photo/cat/", "art/dog/deeper/"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "thumbnails in @eaDir"),
        ("@__thumb/s100.png", "thumbnails in @__thumb"),
        (".thumbnails/normal/1.png", "thumbnails in .thumbnails"),
        ("SYNOPHOTO_THUMB_S.jpg", "Synology files"),
        (".ipynb_checkpoints/0-checkpoint.png", "Jupyter checkpoint folders"),
        ("__MACOSX/photo/cat/._0.png", "macOS folders"),
        (".AppleDouble/0.png", "macOS folders"),
        ("._0.png", "macOS ._ files"),
        (".DS_Store", "system files"),
        ("Thumbs.db", "system files"),
        ("Desktop.ini", "system files"),
        ("$RECYCLE.BIN/S-1/0.png", "recycle bins"),
        (".Trash-1000/files/0.png", "recycle bins"),
        ("#recycle/0.png", "recycle bins"),
        ("@Recycle/0.png", "recycle bins"),
        ("System Volume Information/0.png", "system folders"),
        ("lost+found/0.png", "system folders"),
        (".git/0.png", "version control folders"),
        (".private/cat/0.png", "hidden folders"),
        (".hidden.png", "hidden files"),
        ("0.png.crdownload", "unfinished downloads"),
        ("0.png.icloud", "unfinished downloads"),
        ("~syncthing~0.png.tmp", "unfinished downloads"),
        ("0.png.orig", "backup files"),
        ("#0.png#", "backup files"),
        ("~snapshot/0.png", "system folders"),
        ("found.000/0.png", "system folders"),
        ("Mine.photoslibrary/originals/0.png", "photo libraries"),
    ],
)
def test_what_programs_leave_behind_is_no_image_at_any_depth(
    tmp_path: Path, where: str, path: str, kind: str
) -> None:
    assert counts(fill_paths(tmp_path / "images", *IMAGES, where + path)) == {kind: 1}


def test_other_formats_and_images_above_their_class_are_counted(tmp_path: Path) -> None:
    root = fill_paths(tmp_path / "images", *IMAGES, "cover.png", "art/cover.png")
    for name in ("a.tga", "b.TGA", "c.svg", "notes.txt", "LICENSE", "d.nef"):
        (root / "art" / "cat" / name).write_bytes(b"II*\0 or anything")
    (root / "art" / "cat" / "LICENSE").write_text("Anyone may copy")
    assert counts(root) == {
        ".tga": 2, "images above their class folder": 2, "other files": 2, ".nef": 1, ".svg": 1,
    }  # fmt: skip


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "/"])
def test_a_link_to_a_folder_above_is_never_followed(tmp_path: Path, target: str) -> None:
    root = fill_paths(tmp_path / "images", *IMAGES)
    (root / "art" / "cat" / "up").symlink_to(target)
    image_set = open_image_set("x", root)
    assert [file.path for file in image_set.files] == sorted(IMAGES)
    assert image_set.left_out == (LeftOut("links to a folder above", 1, "art/cat/up"),)


def test_a_link_back_from_a_folder_elsewhere_is_not_followed(tmp_path: Path) -> None:
    fill_paths(tmp_path / "elsewhere", *spread("cats"))
    (tmp_path / "elsewhere" / "cats" / "up").symlink_to("..")
    root = fill_paths(tmp_path / "images", *spread("{art,photo}/dog", "photo/cat"))
    (root / "art" / "cat").symlink_to(tmp_path / "elsewhere" / "cats")
    image_set = open_image_set("x", root)
    assert len(image_set) == 8
    assert [each.kind for each in image_set.left_out] == ["links to a folder above"]


def test_hidden_folders_are_named_as_they_may_be_domains_or_classes(tmp_path: Path) -> None:
    root = fill_paths(tmp_path, *IMAGES, *spread("{art,photo}/.net", "{.red,.blue}/{cat,dog}"))
    (left_out,) = open_image_set("x", root).left_out
    assert left_out_text([left_out]).startswith("left out: 4 hidden folders (")
    assert left_out.example.count(",") == 2


def test_left_out_is_one_line() -> None:
    left_out = [
        LeftOut(".heic", 60, "a/b/1.heic"),
        LeftOut("thumbnails in @eaDir", 12, "@eaDir/1.png"),
        LeftOut("images above their class folder", 1, "cover.png"),
        LeftOut("hidden folders", 1, ".red"),
        LeftOut("rows that repeat another", 1, "a.png"),
    ]
    assert left_out_text(left_out) == (
        "left out: 60 .heic, 12 thumbnails in @eaDir, 1 image above its class folder (cover.png), "
        "1 hidden folder (.red), 1 row that repeats another (a.png) "
        f"(to read HEIC: {install_command('heic')})"
    )
    assert left_out_text([]) == ""
