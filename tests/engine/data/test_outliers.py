"""Outliers: any folder of images, none of which is one of the run's own."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data import RunData, load_data
from engine.data.outliers import load_outliers
from engine.datasets.folders import ImageSet
from engine.datasets.outliers import open_outliers
from engine.datasets.sources import ZipSource
from engine.errors import DataError
from engine.protocol import resolve_spec
from engine.protocol.embedded import EMBEDDED_ARCHIVES
from tests.engine.datasets.image_folders import MakeFolder, fill_paths

DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog"), "sketch": ("cat", "dog")}


@pytest.fixture
def data(make_folder: MakeFolder, tmp_path: Path) -> RunData:
    """Return a run's data; photo is the target, sketch is held out as well."""
    fields = {"target": "photo", "held_out_source": "sketch", "image_size": 32}
    spec = resolve_spec({"data_dir": str(make_folder(DOMAINS)), **fields})
    return load_data(spec, tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of five images at several depths, and a text."""
    fill_paths(tmp_path / "others", "0.png", "b/1.png", "b/c/2.png", "b/c/d/3.png", "a/4.png")
    (tmp_path / "others" / "about.txt").write_text("textures")
    return tmp_path / "others"


def load(folder: Path, data: RunData, tmp_path: Path, **how: object) -> RunData:
    return load_outliers(str(folder), data, tmp_path / "cache", **how)  # type: ignore[arg-type]


def test_every_image_below_the_folder_is_drawn(folder: Path, data: RunData, tmp_path: Path) -> None:
    outliers = load(folder, data, tmp_path)
    paths = [file.path for file in outliers.image_set.files]
    assert paths == ["0.png", "a/4.png", "b/1.png", "b/c/2.png", "b/c/d/3.png"]
    [domain] = outliers.sources
    assert domain.cached.pixels.shape == (5, 32, 32, 3)
    assert domain.in_indices.tolist() == [0, 1, 2, 3, 4]
    assert outliers.target is None
    before = outliers.digest
    (folder / "0.png").unlink()
    assert load(folder, data, tmp_path).digest != before


def test_unreadable_images_are_refused_or_skipped(
    folder: Path, data: RunData, tmp_path: Path
) -> None:
    (folder / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(
        DataError, match=r"^1 image in .*others cannot be read: b/1\.png\. .*--skip"
    ):
        load(folder, data, tmp_path)
    outliers = load(folder, data, tmp_path, skip_bad_images=True)
    assert outliers.skipped == ("b/1.png",)
    assert outliers.sources[0].rows.tolist() == [0, 1, 3, 4]
    with pytest.raises(DataError, match=r"has 4 readable images, but a step draws 5\. Add images"):
        load(folder, data, tmp_path, skip_bad_images=True, fewest=5)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "missing does not exist"),
        ("others/0.png", "0.png is not a folder"),
        ("empty", r"empty has no images \(left out: 1 .*about.txt.*\)\. Give a folder of images"),
    ],
)
def test_a_folder_without_images_is_refused(
    folder: Path, data: RunData, tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copy(folder / "about.txt", tmp_path / "empty")
    with pytest.raises(DataError, match=problem):
        load(tmp_path / name, data, tmp_path)


def test_an_embedded_data_set_has_outliers_of_its_other_classes() -> None:
    outliers = open_outliers("objects-drawn", ("animal", "food", "cat"))
    every = zipfile.ZipFile(EMBEDDED_ARCHIVES["objects-drawn"]).namelist()
    others = ("clothing", "music", "plant", "sport", "tool", "vehicle")
    wanted = {name for name in every if name.split("/")[1:2] and name.split("/")[1] in others}
    paths = {file.path for file in outliers.files}
    assert paths == {name for name in wanted if not name.endswith("/")}
    assert (outliers.domains, outliers.classes) == (("outliers",), ("abstain",))
    assert outliers.open_image(0).mode == "RGB"


def test_an_embedded_data_set_without_other_classes_is_refused() -> None:
    emoji = ImageSet("emoji", ZipSource(EMBEDDED_ARCHIVES["emoji"]))
    with pytest.raises(DataError, match="--outliers objects-drawn: all classes of this data set"):
        open_outliers("objects-drawn", emoji.classes)


@pytest.mark.parametrize(
    ("copied", "problem"),
    [
        ("photo", "in the target photo, which is never trained on: copied0.bmp is photo/cat/0.png"),
        ("sketch", "in the held-out source sketch, which is never trained on: copied0.bmp"),
        ("art", "in the source art, so they would be trained both as a class and to abstain"),
        ("art+photo", "in the target photo"),
    ],
)
def test_images_of_the_data_set_are_refused_whatever_their_file(
    folder: Path, data: RunData, tmp_path: Path, copied: str, problem: str
) -> None:
    for domain in copied.split("+"):
        for number in (0, 3):
            image = Image.open(tmp_path / "images" / domain / "cat" / f"{number}.png")
            prefix = "copied" if domain == copied else domain
            image.save(folder / f"{prefix}{number}.bmp")
    with pytest.raises(
        DataError, match=rf"^2 images in --outliers .*others also {problem}"
    ) as told:
        load(folder, data, tmp_path)
    assert "Delete such files" in str(told.value)


def test_images_with_the_same_middle_line_are_other_images(
    folder: Path, data: RunData, tmp_path: Path
) -> None:
    domain = data.domains[0]
    pixels = domain.cached.take(np.array([domain.rows[0]]))[0].copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(folder / "near.png")
    assert len(load(folder, data, tmp_path).image_set) == 6
