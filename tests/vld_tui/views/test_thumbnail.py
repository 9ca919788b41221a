"""Thumbnails of image files of any kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vld_tui.views import thumbnail as module
from vld_tui.views.thumbnail import thumbnail


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "jpg"), ("CMYK", "jpg"), ("P", "gif"), ("LA", "png"), ("1", "bmp")]
)
def test_an_image_is_reduced_to_rgb(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.new(mode, (400, 100)).save(path)
    made = thumbnail(path, 64)
    assert made is not None
    assert (made.mode, made.size) == ("RGB", (64, 16))


def test_16_bits_are_reduced_and_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("I;16", (8, 8), 0x8000).save(path)
    made = thumbnail(path, 64)
    assert made is not None
    assert made.getpixel((0, 0)) == (128, 128, 128)


def test_what_is_no_image_or_too_large_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    (tmp_path / "page.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("RGB", (40, 40)).save(tmp_path / "large.png")
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    assert [thumbnail(path, 64) for path in sorted(tmp_path.iterdir())] == [None] * 3
    assert thumbnail(tmp_path / "missing.png", 64) is None
    assert thumbnail(tmp_path, 64) is None
