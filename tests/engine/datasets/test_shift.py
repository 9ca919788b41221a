"""Domains made of images that have only one, or that stand in a column of a table."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.datasets.folders import open_image_set
from engine.datasets.shift import (
    GROUPS,
    corrupt,
    find_corruptions,
    plan_shifts,
    shift_dataset,
    split_dataset,
)
from engine.errors import DataError
from engine.protocol.datasets import DatasetListing, ShiftDataset, SplitDataset
from engine.protocol.work import WorkNote, WorkReport
from tests.engine.datasets.image_folders import MakeFolder


@pytest.fixture
def photos(make_folder: MakeFolder) -> Path:
    """Return one domain of two classes of six images of 48 px."""
    return make_folder({"photo": ("cat", "dog")}, 6, size=(48, 48)) / "photo"


def shift(root: Path, path: Path, *names: str, **how: object) -> DatasetListing:
    settings: dict[str, object] = {
        "severities": (3,), "paired": False, "image_size": 32, "seed": 0, **how,
    }  # fmt: skip
    tell = settings.pop("tell", lambda _: None)
    request = ShiftDataset(str(root), "shifted", str(path), names, **settings)  # type: ignore[arg-type]
    return shift_dataset(request, tell)  # type: ignore[arg-type]


def test_every_image_goes_to_one_domain_and_only_corruption_tells_them_apart(
    photos: Path, tmp_path: Path
) -> None:
    listing = shift(tmp_path / "data", photos, "noise", "fog")
    assert {d.name: d.images for d in listing.domains} == {"clean": 4, "fog": 4, "noise": 4}
    image_set = open_image_set("shifted", tmp_path / "data" / "shifted")
    origins = [(file.class_name, Path(file.path).name) for file in image_set.files]
    assert len(set(origins)) == 12
    for index, file in enumerate(image_set.files):
        original = Image.open(photos / file.class_name / Path(file.path).stem)
        squeezed = np.asarray(original.resize((32, 32), Image.Resampling.BILINEAR))
        is_same = np.array_equal(np.asarray(image_set.open_image(index)), squeezed)
        assert is_same == (file.domain == "clean")
    again = shift(tmp_path / "again", photos, "noise", "fog")
    other = shift(tmp_path / "other", photos, "noise", "fog", seed=1)
    assert again.domains == listing.domains == other.domains
    every = {place: _contents(tmp_path / place) for place in ("data", "again", "other")}
    assert every["data"] == every["again"]
    assert every["data"].keys() != every["other"].keys()


def _contents(root: Path) -> dict[str, bytes]:
    images = root / "shifted" / "images"
    return {str(path.relative_to(images)): path.read_bytes() for path in images.rglob("*.png")}


def test_paired_domains_hold_every_image(photos: Path, tmp_path: Path) -> None:
    listing = shift(tmp_path, photos, "contrast", paired=True, severities=(1, 5))
    assert {d.name: d.images for d in listing.domains} == {
        "clean": 12, "contrast-1": 12, "contrast-5": 12,
    }  # fmt: skip
    spread = [
        np.mean([np.asarray(Image.open(path)).std() for path in (folder / "cat").iterdir()])
        for folder in sorted((tmp_path / "shifted" / "images").iterdir())
    ]
    assert spread[0] > spread[1] > spread[2]  # clean, then less and less contrast


def test_all_takes_the_four_groups() -> None:
    assert [each.domain for each in plan_shifts(["all"], [2])] == ["clean", *GROUPS]
    assert [each.domain for each in plan_shifts(["all", "fog", "noise"], [2])] == [
        "clean", *GROUPS, "fog",
    ]  # fmt: skip
    assert plan_shifts(["blur"], [2])[1].corruptions == GROUPS["blur"]


@pytest.mark.parametrize("name", [each for group in GROUPS.values() for each in group])
def test_every_corruption_changes_an_image_alike_each_time(name: str) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((48, 48))
    first = corrupt(image, (name,), 3, "a")
    assert first.shape == (48, 48, 3)
    assert not np.array_equal(first, np.asarray(image))
    assert np.array_equal(first, corrupt(image, (name,), 3, "a"))
    assert find_corruptions(name) == (name,)


@pytest.mark.parametrize(
    ("names", "how", "message"),
    [
        (("fogg",), {}, "no corruption 'fogg'. Did you mean fog"),
        (("fog",), {"severities": (0, 6)}, "--severity is 0, 6, but must be from 1 to 5"),
        (("fog",), {"image_size": 16}, "need at least 32 px"),
        ((), {}, "--corruptions is empty"),
        (("all", "fog", "frost"), {}, "one of 7 domains, but these classes have fewer.*cat, dog"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    photos: Path, tmp_path: Path, names: tuple[str, ...], how: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        shift(tmp_path / "data", photos, *names, **how)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_folders_that_are_no_class_folders_are_refused(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    domains = make_folder(dict.fromkeys(("photo", "sketch"), ("cat", "dog")), 2)
    with pytest.raises(DataError, match="already has domains .*Give one of them, such as .*photo"):
        shift(tmp_path / "data", domains, "fog")
    with pytest.raises(DataError, match="has 0 class folders and 0 images"):
        shift(tmp_path / "data", domains / "photo" / "cat", "fog")
    with pytest.raises(DataError, match="no folder .*nowhere"):
        shift(tmp_path / "data", tmp_path / "nowhere", "fog")
    (domains / "photo" / "empty").mkdir()
    with pytest.raises(DataError, match="classes without images: empty"):
        shift(tmp_path / "data", domains / "photo", "fog")


def test_unreadable_images_are_left_out_and_told(photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "0.png").write_bytes(b"no image")
    told: list[WorkReport] = []
    listing = shift(tmp_path, photos, "fog", tell=told.append)
    assert sum(domain.images for domain in listing.domains) == 11
    assert WorkNote("1 image cannot be read: cat/0.png") in told


def test_without_the_package_it_says_what_to_install(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_import: Callable[..., Any] = builtins.__import__
    lacks: list[Exception] = [ModuleNotFoundError("imagecorruptions")]

    def without(name: str, *rest: Any, **how: Any) -> Any:
        if name == "imagecorruptions":
            raise lacks[0]
        return really_import(name, *rest, **how)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"Install it: pip install 'imagecorruptions"):
        shift(tmp_path, photos, "fog")
    lacks[0] = ImportError("libGL.so.1: cannot open shared object file")
    with pytest.raises(DataError, match=r"libGL.*opencv-python-headless"):
        shift(tmp_path, photos, "fog")


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
