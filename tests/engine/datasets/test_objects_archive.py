"""The embedded drawings of objects, and the program that builds them."""

from __future__ import annotations

import io
import sys
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from engine.datasets.catalog import CATALOG
from engine.datasets.folders import open_image_set
from engine.datasets.objects.build import main
from engine.datasets.objects.selection import (
    CLIPART,
    EMOJI_STYLES,
    EXCLUDED_EMOJI,
    IMAGE_SIZE,
    draw,
)
from engine.protocol.embedded import EMBEDDED_DOMAINS
from tests.engine.datasets.debian_packages import package, png
from tests.engine.datasets.test_emoji_archive import write_package

ARCHIVE = CATALOG["objects-drawn"]


def test_every_domain_has_every_class() -> None:
    drawn = open_image_set("objects-drawn", ARCHIVE)
    assert drawn.domains == EMBEDDED_DOMAINS["objects-drawn"]
    assert len(drawn.classes) == 8
    cells = Counter((file.domain, file.class_name) for file in drawn.files)
    assert len(cells) == 24
    assert min(cells.values()) >= 20


def test_members_are_stored_in_order_with_a_fixed_date() -> None:
    with zipfile.ZipFile(ARCHIVE) as archive:
        members = archive.infolist()
        assert archive.testzip() is None
    assert [info.filename for info in members] == sorted(info.filename for info in members)
    assert {info.compress_type for info in members} == {zipfile.ZIP_STORED}
    assert {info.date_time for info in members} == {(1980, 1, 1, 0, 0, 0)}


def test_no_domain_has_two_identical_images() -> None:
    drawn = open_image_set("objects-drawn", ARCHIVE)
    seen = {(file.domain, drawn.source.read(file.path)) for file in drawn.files}
    assert len(seen) == len(drawn)
    pixels = np.asarray(drawn.open_image(0))
    assert pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)


def test_emoji_are_those_of_the_emoji_archive() -> None:
    """Drawn larger, and without those that show something else than their class."""
    drawn, emoji = (
        open_image_set("objects-drawn", ARCHIVE),
        open_image_set("emoji", CATALOG["emoji"]),
    )
    places = {file.path: place for place, file in enumerate(emoji.files)}
    excluded = {code for codes in EXCLUDED_EMOJI.values() for code in codes}
    compared = 0
    for place, file in enumerate(drawn.files):
        if file.domain not in EMOJI_STYLES:
            continue
        name = Path(file.path).name
        assert Path(name).stem not in excluded
        other = places[f"{EMOJI_STYLES[file.domain]}/{file.class_name}/{name}"]
        if place % 40 == 0:
            small = drawn.open_image(place).resize((32, 32), Image.Resampling.BOX)
            reference = emoji.open_image(other).resize((32, 32), Image.Resampling.BOX)
            difference = np.abs(np.asarray(small, float) - np.asarray(reference, float))
            assert difference.mean() < 4
            compared += 1
    assert compared > 20


def test_drawings_are_centred_on_white() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (200, 100), (0, 0, 0, 255)).save(file, "PNG")
    pixels = np.asarray(draw(file.getvalue()))
    assert (pixels[:28] > 250).all()
    assert (pixels[-28:] > 250).all()
    assert (pixels[36:92] < 5).all()
    clear = io.BytesIO()
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(clear, "PNG")
    assert (np.asarray(draw(clear.getvalue())) == 255).all()


def test_every_source_is_attributed() -> None:
    text = ARCHIVE.with_name("LICENSES.md").read_text()
    for words in (
        "## `clipart`", "openclipart-png` 1:0.18", "public domain", "## `emoji`", "Apache-2.0",
        "## `lineart`", "Copyright (c) Microsoft Corporation", "Permission is hereby granted",
    ):  # fmt: skip
        assert words in text
    assert "CC-BY" not in text


@pytest.fixture
def npm_dir(tmp_path: Path) -> Path:
    """Packages of two emoji each: a dog, and paw prints, which are no animal."""
    folder = tmp_path / "npm"
    folder.mkdir()
    emoji = [{"hexcode": "1F415", "subgroup": 0}, {"hexcode": "1F43E", "subgroup": 0}]
    write_package(
        folder / "emojibase-data-17.0.0.tgz",
        {
            "en/data.json": emoji,
            "meta/groups.json": {"subgroups": {"0": "animal-mammal"}},
            "package.json": {"version": "17.0.0"},
        },
    )
    for name in ("noto-1.2.9", "fluent-emoji-high-contrast-1.2.6"):
        write_package(
            folder / f"iconify-json-{name}.tgz",
            {
                "icons.json": {"icons": {"dog": {"body": "<a/>"}, "paws": {"body": "<b/>"}}},
                "chars.json": {"1f415": "dog", "1f43e": "paws"},
                "info.json": {
                    "name": name,
                    "author": {"name": "Author", "url": "https://example.org"},
                    "license": {"spdx": "MIT", "url": "https://example.org/license"},
                },
                "package.json": {"name": name, "version": "1.0.0"},
            },
        )
    return folder


def clipart(folder: Path) -> Path:
    inside = CLIPART.folder
    files = {
        f"{inside}/animals/dogs/dog.png": png(1),
        f"{inside}/food/copy_of_dog.png": png(1),
        f"{inside}/animals/lucchetto_01.png": png(2),
        f"{inside}/transportation/roadsigns/stop.png": png(3),
        f"{inside}/transportation/car.png": png(4),
        f"{inside}/buildings/house.png": png(5),
    }
    path = folder / "clipart.deb"
    path.write_bytes(package(files, CLIPART.package, version="1:0.18"))
    return path


def test_building_twice_gives_the_same_bytes(
    npm_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    resvg = SimpleNamespace(svg_to_bytes=lambda **_: png(7, (128, 128)))
    monkeypatch.setitem(sys.modules, "resvg_py", resvg)
    archives = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert main([str(clipart(tmp_path)), str(npm_dir), "--output", str(tmp_path / name)]) == 0
        archives.append((tmp_path / name / ARCHIVE.name).read_bytes())
    assert archives[0] == archives[1]
    with zipfile.ZipFile(io.BytesIO(archives[0])) as archive:
        assert archive.namelist() == [
            "clipart/animal/animals-dogs-dog.webp", "clipart/vehicle/transportation-car.webp",
            "emoji/animal/1f415.webp", "lineart/animal/1f415.webp",
        ]  # fmt: skip
    assert "4 images" in capsys.readouterr().out
    assert "`openclipart-png` 1:0.18" in (tmp_path / "one" / "LICENSES.md").read_text()


def test_another_package_is_named(
    npm_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setitem(sys.modules, "resvg_py", SimpleNamespace(svg_to_bytes=lambda **_: png()))
    other = tmp_path / "vim.deb"
    other.write_bytes(package({}, "vim"))
    assert main([str(other), str(npm_dir), "--output", str(tmp_path)]) == 1
    assert "is the Debian package vim, not openclipart-png" in capsys.readouterr().err
