"""``vld data nearest``: artificial images that are near to real ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.datasets.image_folders import fill_folder
from tests.vld_tui.cli.conftest import Vld

NETWORK = ("--model", "test_resnet", "--weights", "none", "--image-size", "32", "--threads", "1")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return images of noise in two domains, three of them near to the real ones."""
    root = fill_folder(tmp_path / "made", {"a": ("cat", "dog"), "b": ("cat", "dog")}, 5)
    for path, shade in (("a/cat/3.png", 10), ("a/dog/4.png", 200), ("b/cat/0.png", 12)):
        Image.new("RGB", (40, 36), (shade, 90, 40)).save(root / path)
    return root


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Return plain images of one domain."""
    root = tmp_path / "real"
    for class_name, shade in (("cat", 10), ("dog", 200), ("owl", 0)):
        (root / "photo" / class_name).mkdir(parents=True)
        for number in range(2):
            image = Image.new("RGB", (40, 36), (shade + number, 90, 40))
            image.save(root / "photo" / class_name / f"{number}.png")
    return root


def test_the_nearest_of_each_class_are_kept(
    vld: Vld, made: Path, real: Path, tmp_path: Path
) -> None:
    out = tmp_path / "far.csv"
    given = ("data", "nearest", str(made), "--to", str(real), "--keep", "0.4", *NETWORK)
    shown = vld(*given, "--out", str(out), "--show")
    assert shown.exit_code == 0, shown.stderr
    assert "8 of 20 images kept, the nearest in each class to those of real (photo)" in shown.stdout
    assert f"\nexclude list: {out}\n" in shown.stdout
    assert f"vld run --data {made} --exclude {out}" in shown.stdout
    with out.open() as file:
        rows = [*csv.DictReader(file)]
    kept = {row["path"] for row in rows if row["action"] == "keep"}
    assert (len(rows), len(kept)) == (20, 8)
    assert kept >= {"a/cat/3.png", "a/dog/4.png", "b/cat/0.png"}
    assert {row["near_domain"] for row in rows} == {""}
    [same] = [row for row in rows if row["path"] == "a/cat/3.png"]
    assert (same["nearest"], float(same["distance"])) == ("photo/cat/0.png", 0)
    checked = json.loads(vld("data", "check", str(made), "--exclude", str(out), "--json").stdout)
    assert checked["counts"] == {key: {"cat": 2, "dog": 2} for key in "ab"}
    refused = vld(*given, "--out", str(out))
    assert refused.exit_code == 2
    assert "exists. Use another name, or replace it with --force." in refused.stderr
    found = json.loads(vld(*given, "--domains", "b", "--force", "--json").stdout)
    assert [(each["domain"], each["kept"]) for each in found["counts"]] == [("b", 2), ("b", 2)]
    assert sum(each["kept"] + each["excluded"] for each in found["bins"]) == 10
    assert (len(found["nearest"]), found["nearest"][0]["path"]) == (10, "b/cat/0.png")
    distances = [each["distance"] for each in found["farthest"]]
    assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize("place", ["both", "link"])
def test_a_list_names_the_domain_of_the_same_data_set_that_it_was_chosen_on(
    vld: Vld, tmp_path: Path, place: str
) -> None:
    both = str(fill_folder(tmp_path / "both", dict.fromkeys("abc", ("cat", "dog")), 5))
    (tmp_path / "link").symlink_to(both)
    out, real = tmp_path / "far.csv", str(tmp_path / place)
    given = ("data", "nearest", both, "--domains", "a", "--to", real, "--to-domains", "b")
    made = vld(*given, "--keep", "0.5", "--out", str(out), *NETWORK)
    assert made.exit_code == 0, made.stderr
    with out.open() as file:
        assert {row["near_domain"] for row in csv.DictReader(file)} == {"b"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--keep", "0"), "--keep is 0, but must be above 0 and at most 1"),
        (("--keep", "1", "--domains", "c"), "has no domain c"),
        (("--keep", "1", "--to-domains", "foto"), "has no domain foto. Did you mean photo?"),
        (("--keep", "1", "--out", "nowhere/list.csv"), "nowhere is not a folder"),
        (("--keep", "1", "--to", "made"), "20 images of made would be compared with themselves"),
        (("--keep", "1", "--to", "less"), "less has no images of dog"),
    ],
)
def test_what_cannot_be_compared(
    vld: Vld, made: Path, real: Path, options: tuple[str, ...], words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(made.parent)
    fill_folder(made.parent / "less", {"photo": ("cat",)}, 2)
    refused = vld("data", "nearest", "made", "--to", "real", *NETWORK, *options)
    assert (refused.exit_code, words in refused.stderr) == (2, True), refused.stderr
