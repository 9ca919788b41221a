"""Images of every unusual kind, as real files: what becomes of each is stated in docs/data.md."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.cache import cached_images
from engine.datasets.folders import decode_image, open_image_set, to_rgb
from tests.engine.datasets.image_folders import MakeFolder

GREY_16 = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def pixels(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = decode_image(content)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PGM"])
def test_16_bits_of_grey_become_the_higher_8(kind: str) -> None:
    content = (
        b"P5 8 8 65535\n" + GREY_16.astype(">u2").tobytes()
        if kind == "PGM"
        else saved(Image.fromarray(GREY_16), kind)
    )
    found = pixels(content)
    assert (found == (GREY_16 >> 8)[..., None]).all()


def test_16_bits_of_colour_become_the_higher_8() -> None:
    import cv2  # PIL cannot write them

    colours = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    _, content = cv2.imencode(".png", colours)
    assert (pixels(content.tobytes()) == (colours[..., ::-1] >> 8)).all()


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_32_bits_are_refused(kind: type) -> None:
    content = saved(Image.fromarray(np.ones((8, 8), kind)), "TIFF")
    with pytest.raises(OSError, match="32-bit pixels.*unsupported"):
        decode_image(content)


def test_cmyk_becomes_rgb() -> None:
    content = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = pixels(content)[4, 4]
    assert red > 240
    assert green < 15
    assert blue < 15


def test_rgb_is_neither_changed_nor_copied(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    decoded = decode_image((tmp_path / "noise.png").read_bytes())
    np.testing.assert_array_equal(decoded, noise)
    with Image.open(tmp_path / "noise.png") as image:
        assert to_rgb(image) is image
        np.testing.assert_array_equal(image, noise)


def test_transparency_is_dropped() -> None:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert pixels(saved(image, "PNG"))[0, 0].tolist() == [10, 20, 30]
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert pixels(saved(palette, "PNG", transparency=1))[0, 0].tolist() == [10, 20, 30]
    grey = Image.new("LA", (8, 8), (70, 0))
    assert pixels(saved(grey, "PNG"))[0, 0].tolist() == [70, 70, 70]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (shade,) * 3) for shade in (0, 128, 255)]
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert not pixels(content).any()


def test_the_orientation_of_a_camera_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode_image(saved(Image.new("RGB", (8, 4)), "JPEG", exif=exif))
    assert image.size == (8, 4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\0" * 100, r"is not an image \(all 100 bytes are zero\)"),
        (b"<html>\n<body>", r"is not an image \(starts with '<html>'\)"),
        (b"\x07\xffother", r"is not an image \(starts with 07 ff 6f 74 68 65 72\)"),
        (b"\x89PNG\r\n\x1a\n", r"is damaged \(starts like \.png, but cannot be opened\)"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_is(content: bytes, said: str) -> None:
    with pytest.raises(OSError, match=f"^{said}$"):
        decode_image(content)


def bomb(side: int) -> bytes:
    """Return a small PNG of black, of so many pixels that it would fill a memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = bytes((side // 8 + 1) * side)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    )  # fmt: skip


def test_a_decompression_bomb_is_refused() -> None:
    content = bomb(20_000)
    assert len(content) < 2**20
    with pytest.raises(OSError, match="DecompressionBombError: .* exceeds limit"):
        decode_image(content)


def test_unreadable_ones_are_told_and_the_others_cached(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder({"a": ("cat", "dog"), "b": ("cat", "dog")}, 2)
    (root / "a" / "cat" / "0.png").write_bytes(b"")
    (root / "a" / "dog" / "0.png").write_bytes(bomb(20_000))
    cached = cached_images(open_image_set("x", root), 32, tmp_path / "cache")
    assert set(cached.unreadable) == {0, 2}
    assert "DecompressionBombError" in cached.unreadable[2]
    assert all(cached.pixels[index].any() for index in (1, 3, 4, 5, 6, 7))


def test_links_in_a_folder_are_followed(make_folder: MakeFolder, tmp_path: Path) -> None:
    elsewhere = make_folder({"a": ("cat", "dog"), "b": ("cat", "dog")}, 2)
    root = tmp_path / "mine"
    root.mkdir()
    (root / "a").symlink_to(elsewhere / "a")
    (root / "b" / "cat").mkdir(parents=True)
    (root / "b" / "dog").symlink_to(elsewhere / "b" / "dog")
    (root / "b" / "cat" / "x.png").symlink_to(elsewhere / "b" / "cat" / "1.png")
    image_set = open_image_set("mine", root)
    assert len(image_set) == 7
    assert image_set.files[0].size == os.path.getsize(elsewhere / "a" / "cat" / "0.png")
    (root / "b" / "cat" / "round").symlink_to(root / "b")  # a circle
    found = [file.path for file in open_image_set("mine", root).files if file.domain == "b"]
    assert found == ["b/cat/x.png", "b/dog/0.png", "b/dog/1.png"]
    (root / "b" / "cat" / "round").unlink()
    (root / "b" / "cat" / "gone.png").symlink_to(elsewhere / "nowhere.png")
    cached = cached_images(open_image_set("mine", root), 32, tmp_path / "cache")
    assert list(cached.unreadable.values()) == ["No such file or directory"]
