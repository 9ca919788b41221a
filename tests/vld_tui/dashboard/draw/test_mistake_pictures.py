"""Pictures of misclassified images, of which the run stores none."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from engine.protocol.embedded import EMBEDDED_ARCHIVES, location_of
from engine.protocol.neighbours import Neighbour
from vld_tui.dashboard.draw import mistakes
from vld_tui.dashboard.draw.mistakes import mistake_picture, read_picture
from vld_tui.runs.mistakes import Mistake


def drawing() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 20), (0, 200, 0)).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as images:
        images.writestr("art/cat.png", drawing())
        images.writestr("art/torn.png", drawing()[:30])
    return path


def test_they_are_read_from_a_folder_or_an_archive(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "art").mkdir()
    (tmp_path / "art" / "cat.png").write_bytes(drawing())
    for place in (tmp_path, archive):
        picture = read_picture(b"", "art/cat.png", str(place), 20)
        assert picture is not None
        assert (picture.size, picture.getpixel((5, 5))) == ((20, 10), (0, 200, 0))


@pytest.mark.parametrize("name", ["art/dog.png", "art/torn.png", "../images.zip", ""])
def test_what_is_not_an_image_of_the_data_set_is_not_drawn(archive: Path, name: str) -> None:
    assert read_picture(b"", name, str(archive), 20) is None
    assert read_picture(b"", name, str(archive.parent), 20) is None


def test_an_image_too_large_is_not_unpacked(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "MOST_FILE_BYTES", 10)
    assert read_picture(b"", "art/cat.png", str(archive), 20) is None


def test_embedded_data_sets_have_an_archive_unless_a_folder_is_given() -> None:
    assert all(path.is_file() for path in EMBEDDED_ARCHIVES.values())
    assert location_of("emoji", None) == str(EMBEDDED_ARCHIVES["emoji"])
    assert location_of("emoji", "/mine") == "/mine"
    assert location_of("other", None) is None


def test_an_enlarged_mistake_is_drawn_with_its_nearest_training_images(archive: Path) -> None:
    mistake = Mistake("art", "in", 0, 1, 0.9, b"", "art/cat.png")
    near = [Neighbour("art/cat.png", "cat", 0.1), Neighbour("art/dog.png", "dog", 0.2)]
    picture = mistake_picture(mistake, ("cat", "dog"), str(archive), near)
    assert "nearest: cat, dog" in picture.description.plain
    small, large = picture.read(96), picture.read(1024)
    assert small is not None
    assert large is not None
    assert (small.size, large.size) == ((40, 20), (1024, 768))
    assert large.getpixel((10, 10)) == large.getpixel((1000, 10)) == (0, 200, 0)
    assert large.getpixel((1000, 300)) == (0, 0, 0)


def test_a_missing_training_image_leaves_its_place_empty(archive: Path) -> None:
    mistake = Mistake("art", "in", 0, 1, 0.9, b"", "art/cat.png")
    near = [Neighbour("art/gone.png", "cat", 0.1), Neighbour("art/cat.png", "cat", 0.2)]
    large = mistake_picture(mistake, ("cat", "dog"), str(archive), near).read(1024)
    assert large is not None
    assert large.getpixel((1000, 10)) == (0, 0, 0)
    assert large.getpixel((1000, 266)) == (0, 200, 0)
