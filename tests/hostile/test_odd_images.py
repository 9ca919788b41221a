"""Images and archives that never end, lie about their size, or are programs."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.datasets import archives
from engine.datasets.archives import unpack
from engine.datasets.folders import decode_image, open_image_set
from engine.datasets.tables import TableSource
from engine.errors import DataError
from tests.engine.datasets.published_sets import image_bytes


def _silent(_done: int, _total: int | None) -> None:
    pass


def _bomb_of_links(path: Path) -> None:
    """Name one file again and again: every copy takes room."""
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("photo/cat/0.png")
        member.size = 2**16
        archive.addfile(member, io.BytesIO(bytes(member.size)))
        for number in range(1, 200):
            link = tarfile.TarInfo(f"photo/cat/{number}.png")
            link.type, link.linkname = tarfile.LNKTYPE, "photo/cat/0.png"
            archive.addfile(link)


def test_links_count_as_the_copies_they_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 2**20)
    path, into = tmp_path / "links.tar.gz", tmp_path / "into"
    into.mkdir()
    _bomb_of_links(path)
    with pytest.raises(DataError, match="it would grow to"):
        unpack(path, into, _silent)


def _small_archives() -> list[tuple[str, bytes]]:
    made = []
    for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz")):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            member = tarfile.TarInfo("photo/cat/é" + "0" * 120 + ".png")
            member.size = 600
            archive.addfile(member, io.BytesIO(bytes(600)))
        made.append((suffix, file.getvalue()))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("photo/cat/é.png", bytes(600))
        packed.writestr("photo/dog/0.png", image_bytes(9))
    return [*made, (".zip", file.getvalue())]


ARCHIVES = _small_archives()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    which=st.sampled_from(ARCHIVES),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4
    ),
)
def test_a_mangled_archive_is_refused_or_stays_inside(
    tmp_path_factory: pytest.TempPathFactory,
    which: tuple[str, bytes],
    changes: list[tuple[float, bytes]],
) -> None:
    suffix, content = which
    for place, junk in changes:
        at = int(place * (len(content) - 1))
        content = content[:at] + junk + content[at + len(junk) :]
    folder = tmp_path_factory.mktemp("mangled")
    path, into = folder / f"set{suffix}", folder / "stage"
    path.write_bytes(content)
    into.mkdir()
    with contextlib.suppress(DataError, OSError):
        unpack(path, into, _silent)
    assert {each.name for each in folder.iterdir()} == {path.name, "stage"}


def _image_folder(folder: Path) -> Path:
    for domain in ("a", "b"):
        for name in ("cat", "dog"):
            (folder / domain / name).mkdir(parents=True)
            (folder / domain / name / "0.png").write_bytes(image_bytes(9))
    return folder


def test_what_never_ends_is_unreadable_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    folder = _image_folder(tmp_path / "images")
    os.mkfifo(folder / "a" / "cat" / "1.png")
    (folder / "a" / "cat" / "2.png").symlink_to("/dev/zero")
    with (folder / "a" / "cat" / "4.png").open("wb") as file:
        file.truncate(2**30 + 1)
    image_set = open_image_set("mine", folder)
    for index, image in enumerate(image_set.files):
        if image.path.endswith("0.png"):
            assert image_set.open_image(index).size == (8, 8)
        else:
            with pytest.raises(OSError, match=r"not a regular file|too large for an image"):
                image_set.read(index)


def test_a_table_that_names_what_never_ends_or_is_no_name(tmp_path: Path) -> None:
    names = ["/dev/zero", "../" * 40 + "dev/full", "x" * 5000, "."]
    table = tmp_path / "images.csv"
    rows = "".join(f"{name},cat,a\n" for name in names)
    table.write_text(f"path,label,domain\n{rows}")
    source = TableSource(table, ("path", "label", "domain"))
    files = source.files()
    assert len(files) == len(names)
    for file in files:
        with pytest.raises(OSError, match=r"regular file|null|No such|too long|directory"):
            source.read(file.path)


def test_a_member_of_a_zip_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for domain in ("a", "b"):
            for name in ("cat", "dog"):
                archive.writestr(f"{domain}/{name}/0.png", image_bytes(9))
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")  # the last entry of the directory: its size says 2 GiB
    path.write_bytes(content[: at + 24] + (2**31).to_bytes(4, "little") + content[at + 28 :])
    image_set = open_image_set("bomb", path)
    with pytest.raises(OSError, match="too large for an image"):
        image_set.read(len(image_set) - 1)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(executed) (w) file closefile\n"


def test_an_image_that_is_a_program_is_not_handed_to_its_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "gs"
    interpreter.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    interpreter.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # looked for once
    with pytest.raises(OSError, match="is not an image"):
        decode_image(POSTSCRIPT)
    assert not (tmp_path / "executed").exists()
    with contextlib.suppress(OSError):
        Image.open(io.BytesIO(POSTSCRIPT)).load()  # what would have happened
    assert (tmp_path / "executed").exists()
