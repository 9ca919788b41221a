"""Images in parquet files and in data sets saved by the ``datasets`` library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.datasets.folders import open_image_set
from engine.datasets.register import add_dataset
from engine.errors import DataError
from engine.protocol.datasets import AddDataset, DatasetListing
from tests.engine.datasets.published_sets import (
    image_bytes,
    image_rows,
    image_table,
    write_parquet,
    write_saved,
)

DOMAINS = ("art", "photo")


def add(root: Path, path: Path, **how: str) -> DatasetListing:
    return add_dataset(AddDataset(str(root), "pets", str(path), **how), lambda _: None)  # type: ignore[arg-type]


def test_labels_take_their_names_from_the_schema_and_bytes_stay_as_they_are(
    root: Path, tmp_path: Path
) -> None:
    rows = image_rows(DOMAINS, (1, 0), kind="JPEG")
    path = write_parquet(tmp_path / "all.parquet", image_table(rows, ("cat", "dog")))
    listing = add(root, path)
    assert {domain.name: domain.images for domain in listing.domains} == {"art": 4, "photo": 4}
    assert listing.classes == ("cat", "dog")
    images = root / "pets" / "images"
    written = {
        path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*.jpg")
    }
    assert written == {
        f"{row['domain']}/{('cat', 'dog')[row['label']]}/{number:06}.jpg": row["image"]["bytes"]
        for number, row in enumerate(rows)
    }


def test_several_files_are_numbered_on_and_suffixes_go_by_content(
    root: Path, tmp_path: Path
) -> None:
    for number, kind in enumerate(("PNG", "WEBP", "BMP", "TIFF", "GIF")):
        rows = image_rows(DOMAINS, ("cat", "dog"), 1, kind)
        write_parquet(tmp_path / "set" / "data" / f"train-{number}.parquet", image_table(rows))
    assert len(add(root, tmp_path / "set").classes) == 2
    image_set = open_image_set("pets", root / "pets")
    names = {Path(file.path).name for file in image_set.files}
    assert names == {
        f"{number:06}.{('png', 'webp', 'bmp', 'tif', 'gif')[number // 4]}" for number in range(20)
    }
    assert all(image_set.open_image(index).size == (8, 8) for index in range(20))


def test_a_saved_data_set_is_read(root: Path, tmp_path: Path) -> None:
    rows = image_rows(DOMAINS, (0, 1), 40)  # more than are read at a time
    add(root, write_saved(tmp_path / "saved", image_table(rows, ("cat", "dog"))))
    image_set = open_image_set("pets", root / "pets")
    assert len(image_set) == 160
    assert image_set.classes == ("cat", "dog")
    assert [image_set.read(index) for index in range(160)] == [
        row["image"]["bytes"] for row in rows
    ]


def test_domains_may_be_numbers_with_names_too(root: Path, tmp_path: Path) -> None:
    rows = image_rows((1, 0), (0, 1))
    path = write_parquet(tmp_path / "all.parquet", image_table(rows, ("cat", "dog"), DOMAINS))
    assert [domain.name for domain in add(root, path).domains] == ["art", "photo"]
    assert (root / "pets" / "images" / "photo" / "cat" / "000000.png").exists()


def test_plain_bytes_and_numbers_without_names_will_do(root: Path, tmp_path: Path) -> None:
    rows = [
        {"jpg": row["image"]["bytes"], "y": row["label"], "camera": row["domain"]}
        for row in image_rows((3, 4), (0, 1))
    ]
    path = write_parquet(tmp_path / "all.parquet", image_table(rows))
    listing = add(root, path, image_column="jpg", label_column="y", domain_column="camera")
    assert {domain.name: domain.images for domain in listing.domains} == {"3": 4, "4": 4}
    assert listing.classes == ("0", "1")


def test_other_columns_are_named(root: Path, tmp_path: Path) -> None:
    rows = [{"img": b"", "label": 0, "style": "art"}]
    path = write_parquet(tmp_path / "all.parquet", image_table(rows))
    with pytest.raises(
        DataError, match=r"no column image, domain; its columns are img, label, style.*--image-co"
    ):
        add(root, path)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        (
            "image",
            {"bytes": None, "path": "a/b.jpg"},
            "has no image; it refers to the file a/b.jpg",
        ),
        ("label", None, "label is missing"),
        ("label", 2, "label is 2, but there are 2 names"),
        ("label", -1, "label is -1"),
        ("domain", "", "domain is '', which is not a valid folder name"),
        ("domain", "..", "domain is '..', which is not a valid folder name"),
    ],
)
def test_a_row_that_cannot_be_placed_is_named(
    root: Path, tmp_path: Path, column: str, value: object, told: str
) -> None:
    rows = image_rows(DOMAINS, (0, 1))
    rows[5][column] = value
    path = write_parquet(tmp_path / "all.parquet", image_table(rows, ("cat", "dog")))
    with pytest.raises(DataError) as caught:
        add(root, path)
    assert f"Row 5 of {path}" in str(caught.value)
    assert told in str(caught.value)
    assert list(root.iterdir()) == []


def test_names_cannot_lead_out_of_the_folder(root: Path, tmp_path: Path) -> None:
    rows = image_rows(("up/../../../x", "/etc"), ("T-shirt/top", "dog"))
    add(root, write_parquet(tmp_path / "all.parquet", image_table(rows)))
    assert open_image_set("pets", root / "pets").domains == ("_etc", "up_.._.._.._x")
    assert {path.name for path in tmp_path.iterdir()} == {"home", "all.parquet"}
    clash = image_rows(DOMAINS, ("a/b", "a_b"))
    with pytest.raises(DataError, match="share the folder a_b"):
        add(root.parent / "other", write_parquet(tmp_path / "x.parquet", image_table(clash)))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_parquet_file_that_broke_off_is_refused(root: Path, tmp_path: Path, kept: float) -> None:
    rows = image_rows(DOMAINS, (0, 1), 20)
    path = write_parquet(tmp_path / "all.parquet", image_table(rows, ("cat", "dog")))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(DataError, match=r"all\.parquet cannot be read.*download it again"):
        add(root, path)
    assert list(root.iterdir()) == []


def test_a_saved_data_set_that_broke_off_is_refused(root: Path, tmp_path: Path) -> None:
    folder = write_saved(tmp_path / "saved", image_table(image_rows(DOMAINS, (0, 1), 20)))
    (file,) = folder.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"\.arrow cannot be read"):
        add(root, folder)


def test_damage_within_a_file_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    rows = image_rows(DOMAINS, (0, 1), 50)
    path = write_parquet(tmp_path / "all.parquet", image_table(rows, ("cat", "dog")))
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396  # the first page: the footer still reads
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="cannot be read"):
        add(root, path)
    assert list(root.iterdir()) == []


def test_excluded_names_mean_nothing_to_rows(root: Path, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "all.parquet", image_table(image_rows(DOMAINS, ("a", "b"))))
    with pytest.raises(DataError, match="--exclude is only for folders"):
        add(root, path, exclude=str(path))


def test_the_extra_is_named_where_it_is_missing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "all.parquet", image_table(image_rows(DOMAINS, ("a", "b"))))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"Install it: pip install .*'pyarrow"):
        add(root, path)


def test_content_that_is_no_image_is_told_when_it_is_decoded(root: Path, tmp_path: Path) -> None:
    rows = image_rows(DOMAINS, ("a", "b"))
    rows[0]["image"] = {"bytes": image_bytes(7)[:30], "path": None}
    add(root, write_parquet(tmp_path / "all.parquet", image_table(rows)))
    with pytest.raises(OSError, match=r"\w"):
        open_image_set("pets", root / "pets").open_image(0)
