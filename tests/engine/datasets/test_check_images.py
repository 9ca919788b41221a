"""What a check finds in real files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from engine.data import load_data
from engine.datasets.check import check_images
from engine.datasets.contact_sheet import draw_contact_sheet
from engine.datasets.folders import open_image_set
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol import resolve_spec
from engine.protocol.datasets import CheckReport
from tests.engine.datasets.image_folders import MakeFolder


@pytest.fixture
def images(make_folder: MakeFolder) -> Path:
    """Return two domains of two classes of twelve images."""
    return make_folder(dict.fromkeys(("photo", "sketch"), ("cat", "dog")), 12)


def check(folder: Path, near: int = 4, name: str = "pets") -> CheckReport:
    images = open_image_set(name, folder, use="check")
    return check_images(images, near, lambda _done, _total: None)


def spoiling(report: CheckReport) -> list[str]:
    return [finding.text for finding in report.findings if finding.spoils]


def warnings(report: CheckReport) -> list[str]:
    return [finding.text for finding in report.findings if not finding.spoils]


def write_table(folder: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    """Write a table of paths, labels and domains next to a folder of images."""
    table = folder / "table.csv"
    lines = ["path,label,domain", *(",".join(row) for row in rows)]
    table.write_text("\n".join(lines) + "\n")
    return table


def rows_of(folder: Path) -> list[tuple[str, str, str]]:
    return [(file.path, file.class_name, file.domain) for file in open_image_set("x", folder).files]


def draw(shift: int = 0) -> Image.Image:
    """Return a picture of shapes, which looks the same at other sizes."""
    picture = Image.new("RGB", (96, 96), "white")
    ink = ImageDraw.Draw(picture)
    ink.ellipse((6 + shift, 14, 60 + shift, 44), fill="navy")
    ink.rectangle((44, 56, 90, 90 - shift), fill="red")
    return picture


def test_sound_images_have_nothing_that_spoils(images: Path) -> None:
    report = check(images)
    assert report.counts == {d: {"cat": 12, "dog": 12} for d in ("photo", "sketch")}
    assert report.short_sides == (36, 36, 36)
    assert (report.modes, report.formats) == ({"RGB": 48}, {"PNG": 48})
    assert spoiling(report) == []
    assert warnings(report) == [
        "4 validation images: ID accuracy, and any selection based on it, is uncertain by up to "
        "±35 points (95% interval), for every choice of target."
    ]


def test_images_of_one_domain_are_all_counted_for_its_uncertainty(images: Path) -> None:
    assert warnings(check(images / "photo")) == [
        "4 validation images: ID accuracy, and any selection based on it, is uncertain by up to "
        "±35 points (95% interval)."
    ]


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


def test_files_that_do_not_exist_spoil_a_run(images: Path) -> None:
    (images / "photo" / "cat" / "link.png").symlink_to(images / "nowhere.png")
    (text,) = spoiling(check(images))
    assert text.startswith("1 file does not exist; runs will refuse")
    rows = [*rows_of(images), ("gone/a.png", "cat", "photo")]
    assert any("2 files do not exist" in t for t in spoiling(check(write_table(images, rows))))


def test_a_missing_class_is_one_problem_of_several(images: Path) -> None:
    shutil.rmtree(images / "sketch" / "dog")
    (images / "photo" / "cat" / "0.png").write_bytes(b"")
    report = check(images)
    assert report.counts == {"photo": {"cat": 12, "dog": 12}, "sketch": {"cat": 12}}
    lacking, unreadable = spoiling(report)
    assert "sketch lacks dog" in lacking
    assert f"vld data add pets {images} --keep-missing-classes" in lacking
    assert unreadable.startswith("1 image cannot be read")


def test_every_problem_of_the_layout_is_reported(images: Path) -> None:
    for name in ("notes", "photo/Cat", "sketch/Cat", "photo/fox", "sketch/fox"):
        (images / name).mkdir()
    shutil.copy(images / "photo/cat/0.png", os.fsdecode(bytes(images / "photo/cat") + b"/\xff.png"))
    texts = spoiling(check(images))
    for part in (
        "names that are not UTF-8",
        f"class folders with images: notes. Remove them, or select the domains: vld data add pets "
        f"{images} --domains photo,sketch",
        "differ only in case or in the encoding of accents: Cat and cat",
        "classes without images: photo/Cat, photo/fox, sketch/Cat, sketch/fox",
    ):
        assert sum(part in text for text in texts) == 1, part
    assert len(texts) == 4


def test_a_single_class_is_a_problem_of_the_report(images: Path) -> None:
    for domain in ("photo", "sketch"):
        shutil.rmtree(images / domain / "dog")
    report = check(images)
    assert report.counts["photo"] == {"cat": 12}
    assert any("has only one class, cat" in text for text in spoiling(report))


def test_incomplete_rows_of_a_table_are_a_problem_of_the_report(images: Path) -> None:
    table = write_table(images, [*rows_of(images), ("photo/cat/0.png", "", "photo")])
    report = check(table)
    assert len(report.counts) == 2
    assert any("has no label. Fill or remove it" in text for text in spoiling(report))


def test_copies_across_domains_spoil_a_run_and_one_copy_within_a_domain_does_not(
    images: Path,
) -> None:
    shutil.copy(images / "photo/cat/1.png", images / "photo/cat/copy.png")
    report = check(images)
    assert [(pair.one, pair.other, pair.other_in) for pair in report.exact_duplicates] == [
        ("photo/cat/1.png", "photo/cat/copy.png", "photo/cat")
    ]
    assert spoiling(report) == []
    assert any(
        "2 of the 25 images of photo have a copy in the same domain (2 identical): about 6%" in text
        for text in warnings(report)
    )
    shutil.copy(images / "photo/cat/2.png", images / "sketch/cat/copy.png")
    (text,) = spoiling(check(images))
    assert text.startswith("1 image is in both photo and sketch (4.0% of ")


def test_every_pair_of_domains_that_share_an_image_is_counted(make_folder: MakeFolder) -> None:
    folder = make_folder(dict.fromkeys("abc", ("cat", "dog")), 12)
    for domain in "bc":
        shutil.copy(folder / "a/cat/0.png", folder / domain / "cat/0.png")
    texts = spoiling(check(folder))
    assert [text.split(" (")[0] for text in texts] == [
        "1 image is in both a and b", "1 image is in both a and c", "1 image is in both b and c",
    ]  # fmt: skip


def test_a_table_that_lists_images_in_two_domains_is_found_out(images: Path) -> None:
    rows = rows_of(images)
    also = [(path, label, "sketch") for path, label, domain in rows if domain == "photo"]
    report = check(write_table(images, [*rows, *also]))
    assert any(
        text.startswith("24 images are in both photo and sketch (100.0% of photo)")
        for text in spoiling(report)
    )
    pair = report.exact_duplicates[0]
    assert pair.one == pair.other
    assert {pair.one_in, pair.other_in} == {"photo/cat", "sketch/cat"}


def test_an_image_with_two_labels_spoils_a_run(images: Path) -> None:
    rows = [*rows_of(images), ("photo/cat/3.png", "dog", "photo")]
    (text,) = spoiling(check(write_table(images, rows)))
    assert text.startswith("1 image has two labels: photo/cat/3.png is cat and dog.")
    shutil.copy(images / "photo/cat/1.png", images / "photo/dog/copy.png")
    (text,) = spoiling(check(images))
    assert "two labels: photo/cat/1.png is cat and as photo/dog/copy.png, dog." in text.replace(
        "and,", "and"
    )


@pytest.mark.parametrize(
    ("label", "domain", "reason"),
    [
        ("cat", "sketch", "a file in two domains: photo/cat/3.png is in photo and in sketch"),
        ("dog", "photo", "a file with two labels: photo/cat/3.png is cat and dog."),
    ],
)
@pytest.mark.parametrize("path", ["photo/cat/3.png", "./photo/../photo/cat/3.png"])
def test_a_run_refuses_a_table_that_contradicts_itself(
    images: Path, tmp_path: Path, label: str, domain: str, reason: str, path: str
) -> None:
    table = write_table(images, [*rows_of(images), (path, label, domain)])
    spec = resolve_spec({"data_dir": str(table), "target": "photo", "image_size": 32})
    with pytest.raises(DataError, match=f"^{table} lists {reason}"):
        load_data(spec, tmp_path / "cache")


def test_many_near_copies_within_a_domain_spoil_a_run_and_few_do_not(images: Path) -> None:
    draw().save(images / "photo/cat/shapes.png")
    draw().save(images / "photo/cat/shapes.jpg", quality=85)
    report = check(images)
    assert [(pair.one, pair.other) for pair in report.near_copies] == [
        ("photo/cat/shapes.jpg", "photo/cat/shapes.png")
    ]
    assert spoiling(report) == []
    assert any("2 of the 26 images of photo have a copy" in text for text in warnings(report))
    for quality in (60, 70, 80):
        draw().save(images / f"photo/cat/{quality}.jpg", quality=quality)
    (text,) = spoiling(check(images))
    assert text.startswith(
        "5 of the 29 images of photo have a copy in the same domain (5 nearly identical)"
    )
    assert spoiling(check(images, near=0)) == []


def test_smaller_copies_within_a_domain_spoil_a_run(images: Path) -> None:
    draw().save(images / "photo/cat/shapes.png")
    draw().resize((40, 40)).save(images / "photo/cat/shapes_small.png")
    assert any(
        text.startswith("1 image of photo is a smaller copy of others in the domain")
        for text in spoiling(check(images))
    )


def test_nearly_identical_domains_spoil_a_run(make_folder: MakeFolder) -> None:
    folder = make_folder(dict.fromkeys(("a", "b"), ("cat", "dog")), 5)
    for number in range(4):
        draw(7 * number).save(folder / f"a/cat/d{number}.png")
        draw(7 * number).resize((90, 90)).save(folder / f"b/cat/d{number}.jpg", quality=90)
    (text,) = [text for text in spoiling(check(folder)) if "of b" in text]
    assert "nearly identical to images of b: OOD accuracy" in text


def test_a_published_set_passes_with_its_known_copies(
    make_folder: MakeFolder,
) -> None:
    study_set = STUDY_SETS["PACS"]
    classes = [f"class{number}" for number in range(study_set.classes)]
    folder = make_folder(dict.fromkeys(study_set.images, classes), 15)
    shutil.copy(folder / "photo/class0/0.png", folder / "photo/class1/0.png")
    shutil.copy(folder / "photo/class2/1.png", folder / "sketch/class2/1.png")
    report = check(folder, name="PACS")
    assert spoiling(report) == []
    assert sum("two labels" in text or "in both" in text for text in warnings(report)) == 2
    assert len(spoiling(check(folder, name="pets"))) == 2


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
    folder = make_folder({"a": ("cat", "dog"), "b": ("cat", "dog")}, 3)
    for number in range(90):
        Image.new("RGB", (40, 40), (number, 7, 9)).save(folder / "a" / "cat" / f"x{number}.png")
    texts = warnings(check(folder, near=0))
    assert "Fewer than 10 images of a class in a domain: a/dog, b/cat, b/dog." in texts
    assert "a has 31× as many images of one class as of another." in texts


def test_domains_that_a_run_cannot_split_spoil_it_in_the_words_of_the_run(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder(dict.fromkeys("abc", ("cat", "dog")), 1)
    split, single = spoiling(check(folder, near=0))
    spec = resolve_spec({"data_dir": str(folder), "dataset": "pets", "target": "a"})
    with pytest.raises(DataError) as refusal:
        load_data(spec, tmp_path / "cache")
    assert split == str(refusal.value)
    assert split.startswith("Domain a of pets: 2 images at --validation-fraction 0.2 leave none")
    assert split.endswith("Also too small: b, c.")
    assert single.startswith(
        "Only 1 image of a class in a domain: a/cat, a/dog, b/cat, b/dog, c/cat"
    )
    halves = check_images(open_image_set("pets", folder), 0, lambda _done, _total: None, 0.5)
    assert len(spoiling(halves)) == 1


@pytest.mark.parametrize(("orientation", "count"), [(1, 0), (3, 2), (6, 2)])
def test_images_that_are_stored_rotated_are_counted(
    images: Path, orientation: int, count: int
) -> None:
    for kind in ("jpg", "png"):
        exif = Image.Exif()
        exif[0x0112] = orientation
        draw(5 if kind == "png" else 30).save(
            images / "photo" / "cat" / f"turned.{kind}", exif=exif
        )
    texts = [text for text in warnings(check(images)) if "EXIF" in text]
    assert [text.split()[0] for text in texts] == ([str(count)] if count else [])


@pytest.mark.parametrize(
    ("classes", "label"),
    [(("0", "1", "10", "2"), "2 is '10'"), (("c1", "c10", "c9"), "1 is 'c10'")],
)
def test_numbered_classes_in_the_order_of_text_are_worth_knowing(
    make_folder: MakeFolder, classes: tuple[str, ...], label: str
) -> None:
    folder = make_folder(dict.fromkeys("ab", classes), 2)
    (text,) = [text for text in warnings(check(folder, near=0)) if "sorted as text" in text]
    assert f"Label {label}" in text


def test_numbered_classes_in_order_are_no_finding(make_folder: MakeFolder) -> None:
    folder = make_folder(dict.fromkeys("ab", ("01", "02", "10")), 2)
    assert not any("sorted as text" in text for text in warnings(check(folder, near=0)))


def test_classes_that_only_spaces_tell_apart_are_worth_knowing(make_folder: MakeFolder) -> None:
    folder = make_folder(dict.fromkeys("ab", ("hot dog", "hot_dog", "cat ")), 2)
    texts = warnings(check(folder, near=0))
    alike = "2 classes differ only in case, spaces, '_' or '-': 'hot dog' and 'hot_dog'."
    assert any(text.startswith(alike) for text in texts)
    assert "1 class has leading or trailing spaces in its name: 'cat '." in texts


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
