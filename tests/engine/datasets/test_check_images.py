"""What a check finds in real files."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from engine.datasets import DataError, open_image_set
from engine.datasets.check import check_images
from engine.datasets.contact_sheet import draw_contact_sheet
from engine.protocol.datasets import CheckReport
from tests.engine.datasets.image_folders import MakeFolder


@pytest.fixture
def images(make_folder: MakeFolder) -> Path:
    """Return two domains of two classes of twelve images."""
    return make_folder(dict.fromkeys(("photo", "sketch"), ("cat", "dog")), 12)


def check(folder: Path, near: int = 4) -> CheckReport:
    return check_images(open_image_set("pets", folder), near, lambda _done, _total: None)


def spoiling(report: CheckReport) -> list[str]:
    return [finding.text for finding in report.findings if finding.spoils]


def test_sound_images_have_nothing_that_spoils(images: Path) -> None:
    report = check(images)
    assert report.counts == {d: {"cat": 12, "dog": 12} for d in ("photo", "sketch")}
    assert report.short_sides == (36, 36, 36)
    assert (report.modes, report.formats) == ({"RGB": 48}, {"PNG": 48})
    assert report.findings == ()


def test_every_image_is_told_of_as_it_is_read(images: Path) -> None:
    told: list[tuple[int, int]] = []
    check_images(open_image_set("pets", images), 0, lambda done, total: told.append((done, total)))
    assert told == [(number + 1, 48) for number in range(48)]


def test_truncated_and_empty_files_spoil_a_run(images: Path) -> None:
    broken = images / "photo" / "cat" / "0.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (images / "sketch" / "dog" / "1.png").write_bytes(b"")
    report = check(images)
    assert set(report.unreadable) == {"photo/cat/0.png", "sketch/dog/1.png"}
    assert "truncated" in report.unreadable["photo/cat/0.png"]
    (text,) = spoiling(report)
    assert text.startswith("2 images cannot be read")


def test_copies_across_domains_spoil_a_run_and_copies_within_one_do_not(images: Path) -> None:
    shutil.copy(images / "photo/cat/1.png", images / "photo/dog/copy.png")
    report = check(images)
    assert [(pair.one, pair.other) for pair in report.exact_duplicates] == [
        ("photo/cat/1.png", "photo/dog/copy.png")
    ]
    assert spoiling(report) == []
    shutil.copy(images / "photo/cat/2.png", images / "sketch/cat/copy.png")
    (text,) = spoiling(check(images))
    assert text.startswith("1 image is in both photo and sketch")


def test_images_that_look_alike_in_two_domains_are_found(images: Path) -> None:
    picture = Image.new("RGB", (64, 64), "white")
    ink = ImageDraw.Draw(picture)
    ink.ellipse((4, 10, 40, 30), fill="navy")
    ink.rectangle((30, 38, 60, 60), fill="red")
    picture.save(images / "photo" / "cat" / "shapes.png")
    picture.resize((48, 48)).save(images / "sketch" / "cat" / "shapes.jpg", quality=80)
    picture.rotate(90).save(images / "sketch" / "dog" / "turned.png")
    report = check(images)
    assert [(pair.one, pair.other) for pair in report.near_duplicates] == [
        ("photo/cat/shapes.png", "sketch/cat/shapes.jpg")
    ]
    assert spoiling(report) == []
    assert check(images, near=0).near_duplicates == ()


def test_other_modes_are_counted(images: Path) -> None:
    folder = images / "photo" / "cat"
    Image.new("CMYK", (40, 40)).save(folder / "cmyk.jpg")
    Image.new("P", (40, 40)).save(folder / "palette.png")
    Image.new("I;16", (40, 40)).save(folder / "deep.png")
    frames = [Image.new("RGB", (40, 40), (shade, 0, 0)) for shade in (0, 255)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    modes = check(images).modes
    assert {"CMYK", "P", "I;16", "RGB animated"} <= set(modes)


def test_few_and_uneven_images_are_worth_knowing(make_folder: MakeFolder) -> None:
    folder = make_folder({"a": ("cat", "dog"), "b": ("cat", "dog")}, 1)
    for number in range(30):
        Image.new("RGB", (40, 40), (number, 7, 9)).save(folder / "a" / "cat" / f"x{number}.png")
    texts = [finding.text for finding in check(folder, near=0).findings]
    assert any("fewer than 10 images of 2 classes: cat, dog" in text for text in texts)
    assert any("a has 31 times as many" in text for text in texts)


def test_without_the_library_near_duplicates_say_what_to_install(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_import: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any, **how: Any) -> Any:
        if name == "imagehash":
            raise ImportError(name)
        return really_import(name, *rest, **how)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'vld-tui\[check-data\]'"):
        check(images)
    assert check(images, near=0).findings == ()


def test_a_contact_sheet_shows_every_class_and_domain(images: Path, tmp_path: Path) -> None:
    (images / "photo" / "cat" / "0.png").write_bytes(b"broken")
    image_set = open_image_set("pets", images)
    draw_contact_sheet(image_set, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    right, below = sheet[:, sheet.shape[1] // 2 :], sheet[sheet.shape[0] // 2 :]
    assert (right != 255).mean() > 0.1
    assert (below != 255).mean() > 0.1
    draw_contact_sheet(image_set, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
    with pytest.raises(DataError, match="cannot be written"):
        draw_contact_sheet(image_set, tmp_path / "no" / "folder.png")
