import os
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from engine.datasets.folders import ImageSet, open_image_set
from engine.errors import DataError
from tests.engine.datasets.image_folders import MakeFolder

TWO_DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog")}


def zipped(root: Path) -> Path:
    archive = root.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*"), reverse=True):
            file.write(path, path.relative_to(root))
    return archive


def both_forms(root: Path) -> list[ImageSet]:
    return [open_image_set("mine", root), open_image_set("mine", zipped(root))]


def test_domains_classes_and_files_are_in_the_order_of_image_folder(
    make_folder: MakeFolder,
) -> None:
    root = make_folder({"photo": ("dog", "Cat"), "art": ("dog", "Cat")}, count=11)
    nested = root / "photo" / "dog" / "3-more"
    nested.mkdir()
    shutil.copy(root / "photo" / "dog" / "0.png", nested / "b.PNG")
    shutil.copy(root / "photo" / "dog" / "0.png", root / "photo" / "dog" / "z.JPEG")
    (root / "photo" / "dog" / "notes.txt").write_text("no image")
    (root / "README.md").write_text("no domain")
    (root / ".cache" / "dog").mkdir(parents=True)
    shutil.copy(root / "photo" / "dog" / "0.png", root / ".cache" / "dog")
    for image_set in both_forms(root):
        assert image_set.domains == ("art", "photo")
        assert image_set.classes == ("Cat", "dog")
        expected = [
            (domain, Path(path).relative_to(root).as_posix(), label)
            for domain in image_set.domains
            for path, label in ImageFolder(str(root / domain)).samples
        ]
        found = [
            (file.domain, file.path, image_set.classes.index(file.class_name))
            for file in image_set.files
        ]
        assert found == expected
        assert len(found) == 46


def test_folder_and_archive_read_the_same_images(make_folder: MakeFolder) -> None:
    folder, archive = both_forms(make_folder(TWO_DOMAINS))
    assert len(folder) == len(archive) == 24
    for index in (0, 7, 23):
        assert folder.read(index) == archive.read(index)
        image = archive.open_image(index)
        assert image.mode == "RGB"
        assert image.tobytes() == folder.open_image(index).tobytes()


def test_palettes_and_grey_become_rgb(make_folder: MakeFolder) -> None:
    root = make_folder(TWO_DOMAINS, count=1)
    Image.new("L", (8, 8), 100).save(root / "art" / "cat" / "0.png")
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(root / "art" / "dog" / "0.png")
    image_set = open_image_set("mine", root)
    assert image_set.open_image(0).getpixel((3, 3)) == (100, 100, 100)
    assert image_set.open_image(1).getpixel((3, 3)) == (10, 20, 30)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere.*Give a folder"):
        open_image_set("mine", tmp_path / "nowhere")


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is not a folder"):
        open_image_set("mine", tmp_path / "file")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"images\.zip cannot be opened"):
        open_image_set("mine", tmp_path / "images.zip")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        open_image_set("mine", tmp_path)


def test_folders_without_images_are_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match="has no images"):
        open_image_set("mine", make_folder(TWO_DOMAINS, count=0))


def test_one_domain_is_enough(make_folder: MakeFolder) -> None:
    images = open_image_set("mine", make_folder({"photo": ("cat", "dog")}))
    assert (images.domains, images.classes) == (("photo",), ("cat", "dog"))


def test_one_class_is_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match="has only one class, cat"):
        open_image_set("mine", make_folder({"photo": ("cat",), "art": ("cat",)}))


def test_differing_classes_are_named_by_domain(make_folder: MakeFolder) -> None:
    root = make_folder({"photo": ("cat", "dog"), "art": ("cat", "horse"), "sketch": ("cat",)})
    for location in (root, zipped(root)):
        with pytest.raises(DataError) as caught:
            open_image_set("mine", location)
        message = str(caught.value)
        assert "art lacks dog; photo lacks horse; sketch lacks dog, horse" in message


def test_a_class_without_images_is_named(make_folder: MakeFolder) -> None:
    root = make_folder(TWO_DOMAINS)
    for path in (root / "art" / "dog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="without images: art/dog"):
        open_image_set("mine", root)


def test_many_names_are_counted(make_folder: MakeFolder) -> None:
    classes = tuple(f"class{number:02}" for number in range(13))
    root = make_folder({"photo": classes, "art": ("class00",)}, count=1)
    with pytest.raises(DataError, match="class10 and 2 more"):
        open_image_set("mine", root)


def test_names_that_are_not_text_are_refused(make_folder: MakeFolder) -> None:
    root = make_folder(TWO_DOMAINS)
    source = os.fsencode(root / "art" / "cat" / "0.png")
    try:
        os.rename(source, os.fsencode(root / "art" / "cat") + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="not UTF-8"):
        open_image_set("mine", root)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_image_is_an_error_never_half_an_image(
    make_folder: MakeFolder, suffix: str, kept: float
) -> None:
    root = make_folder(TWO_DOMAINS, count=1)
    (root / "art" / "cat" / "0.png").unlink()
    broken = root / "art" / "cat" / f"0.{suffix}"
    Image.effect_noise((64, 64), 90).convert("RGB").save(broken)
    content = broken.read_bytes()
    broken.write_bytes(content[: int(len(content) * kept)])
    image_set = open_image_set("mine", root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(OSError, match=r"\w"):
            image_set.open_image(0)
