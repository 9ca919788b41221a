"""``vld data`` by the engine's real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.datasets.image_folders import fill_folder
from tests.vld_tui.cli.conftest import Vld


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return fill_folder(tmp_path / "images", dict.fromkeys(("photo", "sketch"), ("cat", "dog")), 3)


def test_an_added_set_is_listed_cached_and_run_by_its_name(vld: Vld, images: Path) -> None:
    added = vld("data", "add", "pets", str(images))
    assert added.exit_code == 0, added.stderr
    assert "pets  12 images, 2 classes" in added.stdout
    assert "vld run --dataset pets --target sketch" in added.stdout
    (line,) = [line for line in vld("data", "ls").stdout.splitlines() if " pets " in line]
    assert line.startswith("✓  pets")
    made = vld.json("data", "cache", "pets", "--image-size", "32")
    assert (made["images"], made["unreadable"], made["size_bytes"]) == (12, {}, 12 * 32 * 32 * 3)
    spec = vld.json("run", "--dataset", "pets", "--target", "photo", "--dry-run")
    assert (spec["dataset"], spec["data_dir"]) == ("pets", str(vld.home / "data" / "pets"))


def test_a_set_of_the_study_says_how_to_get_it(vld: Vld) -> None:
    told = vld("data", "ls", "PACS").stdout
    assert "not here" in told
    assert "vld data add PACS DIR" in told
    assert "of 3,929 published" in told


def test_refusals_are_worded_by_the_engine(vld: Vld, images: Path) -> None:
    refused = vld("data", "add", "pets", str(images), "--domains", "photo,car")
    assert refused.exit_code == 2
    assert refused.stderr == f"Error: {images} has no domain car; it has photo, sketch.\n"
    unknown = vld("data", "ls", "emojy")
    assert unknown.exit_code == 2
    assert "Did you mean emoji?" in unknown.stderr


def test_unreadable_images_are_listed_and_fail_the_cache(vld: Vld, images: Path) -> None:
    broken = next((images / "photo" / "cat").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    vld("data", "add", "pets", str(images))
    cached = vld("data", "cache", "pets", "--image-size", "32")
    assert cached.exit_code == 1
    assert f"photo/cat/{broken.name}: " in cached.stderr


def test_a_check_counts_and_fails_on_what_spoils(vld: Vld, images: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    sound = vld("data", "check", str(images), "--near", "0", "--sheet", str(sheet))
    assert sound.exit_code == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    lines = sound.stdout.splitlines()
    assert "class  photo  sketch" in lines
    assert "all        6       6" in lines
    assert "✓ nothing that would spoil a run" in lines
    (images / "photo" / "cat" / "0.png").write_bytes(b"")
    spoilt = vld("data", "check", str(images), "--near", "0")
    assert spoilt.exit_code == 1
    assert "photo/cat/0.png: " in spoilt.stdout
    assert "✗ 1 images cannot be read" in spoilt.stdout


def test_a_layout_that_no_run_can_use_fails_the_check(vld: Vld, tmp_path: Path) -> None:
    folder = fill_folder(tmp_path / "one", {"photo": ("cat", "dog")}, 1)
    checked = vld("data", "check", str(folder))
    assert checked.exit_code == 1
    assert "has one domain, photo" in checked.stderr
