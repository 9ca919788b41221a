import io
import json
import runpy
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import engine.datasets.emoji
from engine.datasets.emoji.build import IMAGE_SIZE, KINDS, STYLES, main
from engine.datasets.folders import open_image_set
from engine.protocol.embedded import EMBEDDED_DOMAINS

HERE = Path(engine.datasets.emoji.__file__).parent
PACKAGES = {
    "noto": "iconify-json-noto-1.2.9.tgz",
    "twemoji": "iconify-json-twemoji-1.2.5.tgz",
    "fluent": "iconify-json-fluent-emoji-flat-1.2.6.tgz",
    "fluent-mono": "iconify-json-fluent-emoji-high-contrast-1.2.6.tgz",
}


def test_the_archive_holds_what_its_script_says() -> None:
    emoji = open_image_set("emoji", HERE / "emoji.zip")
    assert emoji.classes == tuple(sorted(KINDS))
    assert set(emoji.domains) == set(STYLES) == set(EMBEDDED_DOMAINS["emoji"])
    counts = Counter(file.domain for file in emoji.files)
    assert counts == {"noto": 1230, "twemoji": 1230, "fluent": 1219, "fluent-mono": 1219}
    by_domain = {
        domain: {file.path.partition("/")[2] for file in emoji.files if file.domain == domain}
        for domain in emoji.domains
    }
    assert by_domain["noto"] == by_domain["twemoji"]
    assert by_domain["fluent"] == by_domain["fluent-mono"]
    assert by_domain["fluent"] < by_domain["noto"]


def test_images_are_square_on_white_and_the_mono_style_is_black() -> None:
    emoji = open_image_set("emoji", HERE / "emoji.zip")
    corners = []
    for index in range(0, len(emoji), 60):
        pixels = np.asarray(emoji.open_image(index))
        assert pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        corners.append(pixels[0, 0].tolist())
        if emoji.files[index].domain == "fluent-mono":
            assert (pixels.max(axis=2) == pixels.min(axis=2)).all()
            assert pixels.min() == 0
    assert corners.count([255, 255, 255]) > 0.9 * len(corners)


def test_members_are_stored_in_order_with_a_fixed_date() -> None:
    with zipfile.ZipFile(HERE / "emoji.zip") as archive:
        members = archive.infolist()
        assert archive.testzip() is None
    assert [info.filename for info in members] == sorted(info.filename for info in members)
    assert {info.compress_type for info in members} == {zipfile.ZIP_STORED}
    assert {info.date_time for info in members} == {(1980, 1, 1, 0, 0, 0)}


def test_every_set_is_attributed() -> None:
    text = (HERE / "LICENSES.md").read_text()
    for domain in STYLES:
        assert f"## `{domain}`" in text
    for words in (
        "@iconify-json/noto` 1.2.9",
        "Apache-2.0",
        "@iconify-json/twemoji` 1.2.5",
        "CC-BY-4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "Copyright (c) Microsoft Corporation",
        "Copyright (c) 2017-2019 Miles Johnson",
        "Permission is hereby granted, free of charge",
    ):
        assert words in text


def write_package(path: Path, files: dict[str, object]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def npm_dir(tmp_path: Path) -> Path:
    """Packages of two emoji each: a face and a flag, which is in no class."""
    folder = tmp_path / "npm"
    folder.mkdir()
    emoji = [
        {"hexcode": "263A-FE0F", "subgroup": 0},
        {"hexcode": "1F3F3-FE0F", "subgroup": 97},
        {"hexcode": "1F1E6"},
    ]
    groups = {"subgroups": {"0": "face-smiling", "97": "flag"}}
    write_package(
        folder / "emojibase-data-17.0.0.tgz",
        {
            "en/data.json": emoji,
            "meta/groups.json": groups,
            "package.json": {"version": "17.0.0"},
        },
    )
    square = '<path fill="currentColor" d="M8 8h16v16H8z"/>'
    for domain, file_name in PACKAGES.items():
        author = {"name": f"Author of {domain}", "url": "https://example.org"}
        write_package(
            folder / file_name,
            {
                "icons.json": {
                    "width": 32,
                    "height": 32,
                    "icons": {"smile": {"body": square}, "flag": {"body": square}},
                },
                "chars.json": {"263a": "smile", "1f3f3": "flag"},
                "info.json": {
                    "name": domain,
                    "author": author,
                    "license": {"spdx": "MIT", "url": "https://example.org/license"},
                },
                "package.json": {"name": file_name, "version": "1.0.0"},
            },
        )
    return folder


def test_building_twice_gives_the_same_bytes(
    npm_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("resvg_py")
    archives = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert main([str(npm_dir), "--output", str(tmp_path / name)]) == 0
        archives.append((tmp_path / name / "emoji.zip").read_bytes())
    assert archives[0] == archives[1]
    assert "4 images" in capsys.readouterr().out
    assert "Author of noto" in (tmp_path / "one" / "LICENSES.md").read_text()
    with zipfile.ZipFile(io.BytesIO(archives[0])) as archive:
        assert archive.namelist() == sorted(f"{d}/face/263a.webp" for d in STYLES)
        with Image.open(io.BytesIO(archive.read("noto/face/263a.webp"))) as image:
            pixels = np.asarray(image)
    inside = np.zeros((96, 96), dtype=bool)
    inside[24:72, 24:72] = True
    assert (pixels[inside] == 0).all()
    assert (pixels[~inside] == 255).all()


def test_the_module_builds_as_a_program(
    npm_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    white = io.BytesIO()
    Image.new("RGB", (96, 96), "white").save(white, "PNG")
    resvg = SimpleNamespace(svg_to_bytes=lambda **_: white.getvalue())
    monkeypatch.setitem(sys.modules, "resvg_py", resvg)
    monkeypatch.setattr(sys, "argv", ["build", str(npm_dir), "--output", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "engine.datasets.emoji.build")
    with pytest.raises(SystemExit, match="^0$"):
        runpy.run_module("engine.datasets.emoji.build", run_name="__main__")
    assert "Author of noto" in (tmp_path / "LICENSES.md").read_text()


def test_a_missing_package_is_named(
    npm_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (npm_dir / PACKAGES["fluent"]).unlink()
    assert main([str(npm_dir), "--output", str(tmp_path)]) == 1
    assert "fluent-emoji-flat" in capsys.readouterr().err
    assert not (tmp_path / "emoji.zip").exists()
