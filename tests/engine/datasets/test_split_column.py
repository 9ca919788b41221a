"""Domains that stand in a column of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.datasets import DataError, open_image_set
from engine.datasets.shift import split_dataset
from engine.protocol.datasets import DatasetListing, SplitDataset, WorkNote, WorkReport
from tests.engine.datasets.image_folders import MakeFolder


@pytest.fixture
def scans(make_folder: MakeFolder) -> Path:
    """Return one domain of two classes of four images."""
    return make_folder({"scans": ("ill", "well")}, 4) / "scans"


def split(
    tmp_path: Path, scans: Path, rows: list[str], told: list[WorkReport] | None = None
) -> DatasetListing:
    table = tmp_path / "meta.csv"
    table.write_text("\n".join(["file,hospital,age", *rows]))
    request = SplitDataset(
        str(tmp_path / "data"), "scans", str(scans), str(table), "file", "hospital"
    )
    return split_dataset(request, (told if told is not None else []).append)


def test_images_keep_their_class_and_get_the_domain_of_their_row(
    scans: Path, tmp_path: Path
) -> None:
    rows = [f"{label}/{n}.png,{'north' if n < 2 else 'south'},9" for label in ("ill", "well")
            for n in range(4)]  # fmt: skip
    listing = split(tmp_path, scans, rows)
    assert {d.name: d.images for d in listing.domains} == {"north": 4, "south": 4}
    image_set = open_image_set("scans", tmp_path / "data" / "scans")
    assert image_set.classes == ("ill", "well")
    for index, file in enumerate(image_set.files):
        name = Path(file.path).name
        assert file.domain == ("north" if name < "2" else "south")
        assert image_set.read(index) == (scans / file.class_name / name).read_bytes()


def test_a_unique_name_is_enough_and_what_is_left_out_is_told(scans: Path, tmp_path: Path) -> None:
    for label in ("ill", "well"):
        for path in sorted((scans / label).iterdir()):
            path.rename(path.with_name(f"{label}-{path.name}"))
    rows = [f"old/place/{label}-{n}.png,{'ab'[n % 2]},1" for label in ("ill", "well")
            for n in range(3)]  # fmt: skip
    told: list[WorkReport] = []
    listing = split(tmp_path, scans, rows, told)
    assert {d.name: d.images for d in listing.domains} == {"a": 4, "b": 2}
    assert told == [WorkNote("2 images are not in the table: ill/ill-3.png, well/well-3.png")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["x.png,north,1"],
            "No file in .* matches an image of .*example x.png; an image is ill/0.png",
        ),
        (["0.png,north,1"], "No file"),  # two classes have a 0.png
        (["ill/0.png,north,1", "ill/0.png,south,1"], "ill/0.png into two domains, north and south"),
        (["ill/0.png,,1"], "Line 2 of .* has no hospital"),
        (["ill/0.png,north,1", "well/0.png,north,1"], "every image into one domain, north"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    scans: Path, tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        split(tmp_path, scans, rows)
    assert not (tmp_path / "data" / "scans").exists()


def test_a_column_that_is_not_there_is_named(scans: Path, tmp_path: Path) -> None:
    table = tmp_path / "meta.csv"
    table.write_text("path,camera\nill/0.png,1\n")
    request = SplitDataset(str(tmp_path), "scans", str(scans), str(table), "path", "hospital")
    with pytest.raises(
        DataError, match="no column hospital; its columns are path, camera. Give their "
    ):
        split_dataset(request, lambda _: None)
