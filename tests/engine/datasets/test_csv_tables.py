"""Tables of images as spreadsheets and other programs write them, given by ``--data``."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from engine.datasets.folders import ImageSet, open_image_set
from engine.errors import DataError
from tests.engine.datasets.image_folders import fill_paths, spread

PATHS = spread("{a,b}/{cat,dog}", count=3)
ROWS = [(path, path.split("/")[1], path.split("/")[0]) for path in PATHS]


def opened(folder: Path, content: bytes, name: str = "images.csv") -> ImageSet:
    fill_paths(folder, *PATHS)
    (folder / name).write_bytes(content)
    return open_image_set("mine", folder / name)


def text(separator: str, heading: str = "path,label,domain", end: str = "\n") -> str:
    lines = [heading.replace(",", separator), *(separator.join(row) for row in ROWS)]
    return "".join(line + end for line in lines)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (text(",").encode(), "images.csv"),
        (text(";").encode(), "images.csv"),
        (text("\t").encode(), "images.tsv"),
        (text("\t").encode(), "images.csv"),
        (text("|").encode(), "IMAGES.CSV"),
        (text(",", "Path, LABEL ,Domain").encode(), "images.csv"),
        (text(";", "Domain;path;label").replace("Domain;path;label", "path;label;Domain").encode(),
         "images.csv"),
        (("\ufeff" + text(",", end="\r\n")).encode(), "images.csv"),
        (text(",", end="\r").encode(), "images.csv"),
        (("sep=;\n" + text(";")).encode(), "images.csv"),
        (text("\t").encode("utf-16"), "images.tsv"),
        (text(",").replace("\n", "\n\n").encode(), "images.csv"),
        (("\n \n" + text(",")).encode(), "images.csv"),
        ((text(",") + ",,\n  \n").encode(), "images.csv"),
        (text(";").encode("utf-16-le"), "images.csv"),
        (text(";").encode("utf-16-be"), "images.csv"),
    ],
)  # fmt: skip
def test_a_table_is_read_however_a_program_writes_it(
    tmp_path: Path, content: bytes, name: str
) -> None:
    image_set = opened(tmp_path, content, name)
    assert (image_set.domains, image_set.classes) == (("a", "b"), ("cat", "dog"))
    assert [(file.path, file.class_name, file.domain) for file in image_set.files] == ROWS
    assert image_set.open_image(0).size == (4, 4)
    assert (image_set.layout, image_set.reading, image_set.left_out) == ("table", "", ())


def test_paths_may_begin_in_the_home_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    content = text(",").replace("\na/", "\n~/a/").encode()
    image_set = opened(tmp_path, content)
    counts = Counter(image_set.open_image(index).size for index in range(len(image_set)))
    assert counts == {(4, 4): 12}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a/", "https://x.org/a/", "the paths are URLs; download the images first"),
        ("a/", "file:///data/a/", "write paths without file://"),
        ("a/", "nowhere/a/", "relative to the table's folder, or absolute"),
        ("/", "\\", "have backslashes"),
        ("a/", "~/nowhere/", "start with ~"),
    ],
)
def test_a_table_of_files_none_of_which_exists_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    content = text(",").replace("b/", "a/").replace(old, new).encode()
    with pytest.raises(DataError, match=f"^None of the 12 files of .* exists: .*{said}"):
        opened(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty. Its first line must be a header"),
        (b"path,label,domain\n", "has a header but no rows"),
        (b"file;label;domain\n", "no column path; its columns are file, label, domain. Give their"),
        (b"path,label,domain\na/cat/0.png,,\n", "Line 2 of .* has no label or domain"),
        (b"path,label,domain\na,,x\nb,y,\n", "2 rows of .* have no label or domain: lines 2, 3"),
        (b"path,label,domain\n\xe4,b,c\n", "is not UTF-8 text. Save it as CSV in UTF-8"),
        (b"path,path ,label,domain\n", "header but no rows"),
        (b"path,label,domain,label\n", "has 2 columns label. Rename or remove one"),
        (b"Path,PATH,label,domain\n", "no column path; its columns are Path, PATH"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        opened(tmp_path, content)


@pytest.mark.parametrize("spelled", ["{}", "./{}", "b/../{}", "{root}/{}"])
def test_rows_that_repeat_another_are_counted(tmp_path: Path, spelled: str) -> None:
    path, *others = ROWS[0]
    content = text(",") + ",".join([spelled.format(path, root=tmp_path), *others]) + "\n"
    image_set = opened(tmp_path, content.encode())
    assert len(image_set) == 12
    [left_out] = image_set.left_out
    assert (left_out.kind, left_out.count) == ("rows that repeat another", 1)


def test_the_command_for_other_columns_can_be_pasted(tmp_path: Path) -> None:
    quoted = f"'{tmp_path / 'my pets.csv'}'"
    with pytest.raises(DataError, match=f"vld data add my-pets {quoted} with --path-column"):
        opened(tmp_path, b"file,label\na.png,cat\n", "my pets.csv")


def test_what_must_be_imported_first_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"vld data add mine {tmp_path / 'x.parquet'}"):
        opened(tmp_path, b"anything", "x.parquet")


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar"])
def test_what_is_an_archive_by_its_name_alone_is_damaged(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        DataError, match=rf"^{tmp_path / name} is damaged .*\. Download it again\.$"
    ):
        opened(tmp_path, b"anything", name)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is a pipe or a device"):
        open_image_set("mine", tmp_path / "pipe")


def test_a_table_has_no_layout(tmp_path: Path) -> None:
    opened(tmp_path, text(",").encode())
    with pytest.raises(DataError, match="--layout is only for folders"):
        open_image_set("mine", tmp_path / "images.csv", "plain")
