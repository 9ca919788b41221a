"""Images by their content: other suffixes, none at all, and formats of phones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from engine.datasets import open_image_set
from engine.protocol.datasets import LeftOut
from tests.engine.datasets.image_folders import fill_paths, spread

PATHS = spread("{a,b}/{cat,dog}", count=1)
PICTURE = Image.fromarray(np.arange(0, 192, 1, dtype=np.uint8).reshape(8, 8, 3))


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind)
    return file.getvalue()


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


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
