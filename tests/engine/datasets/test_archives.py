"""Archives that are added: whole ones, damaged ones, and ones that would write elsewhere."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from engine.datasets.folders import open_image_set
from engine.datasets.register import add_dataset
from engine.errors import DataError
from engine.protocol.datasets import AddDataset, DatasetListing
from engine.protocol.work import WorkProgress, WorkReport
from tests.engine.datasets.image_folders import MakeFolder
from tests.engine.datasets.published_sets import image_bytes

CLASSES = ("cat", "dog")
NAMES = [
    f"kfold/{domain}/{name}/{number}.png"
    for domain in ("photo", "sketch") for name in CLASSES for number in (0, 1)
]  # fmt: skip


def add(root: Path, path: Path, reports: list[WorkReport] | None = None) -> DatasetListing:
    told = [] if reports is None else reports
    return add_dataset(AddDataset(str(root), "pets", str(path)), told.append)


def make_zip(path: Path, names: list[str], **others: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, image_bytes(9))
        for name, content in others.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: list[tarfile.TarInfo]) -> Path:
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            content = image_bytes(9) if member.isreg() else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def nothing_left(root: Path) -> bool:
    return list(root.iterdir()) == [] and {path.name for path in root.parent.iterdir()} == {"data"}


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_an_archive_is_known_by_its_content_too(root: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "download"
    if form == "zip":
        make_zip(path, NAMES)
    else:
        make_tar(path, [member(name) for name in NAMES])
    assert add(root, path).classes == CLASSES


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", [NAMES[0], NAMES[0].replace("/", "\\")])
def test_a_name_that_stands_twice_in_an_archive_is_one_image(
    root: Path, tmp_path: Path, again: str
) -> None:
    path = make_zip(tmp_path / "pets.zip", [*NAMES, again])
    in_place = open_image_set("pets", path)
    assert len(in_place) == sum(domain.images for domain in add(root, path).domains) == len(NAMES)
    [left_out] = in_place.left_out
    assert (left_out.kind, left_out.count) == ("earlier members of the same name", 1)


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_an_archive_is_unpacked_into_the_home(root: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"PACS.{form}"
    if form == "zip":
        make_zip(path, [*NAMES, "__MACOSX/kfold/._x.png", "kfold/.DS_Store"])
    else:
        make_tar(path, [member(name) for name in NAMES])
    reports: list[WorkReport] = []
    listing = add(root, path, reports)
    assert {domain.name: domain.images for domain in listing.domains} == {"photo": 4, "sketch": 4}
    assert (listing.where, listing.reading) == (
        str(root / "pets" / "images"), "reading kfold/domain/class/image",
    )  # fmt: skip
    assert f"from {path}" in listing.notes
    path.unlink()
    image_set = open_image_set("pets", root / "pets")
    assert len(image_set) == 8
    assert image_set.open_image(0).size == (8, 8)
    assert [path.name for path in root.iterdir()] == ["pets"]
    last = [report for report in reports if isinstance(report, WorkProgress)][-1]
    assert (last.what, last.done) == ("unpacking", last.total)


@pytest.mark.parametrize(
    "name", ["../../outside.png", "/tmp/outside.png", "kfold/../../../outside.png", "..\\outside"]
)
def test_a_name_that_leads_out_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    for path in (
        make_zip(tmp_path / "bad.zip", [*NAMES, name]),
        make_tar(tmp_path / "bad.tar", [member(each) for each in (*NAMES, name)]),
    ):
        with pytest.raises(DataError, match=rf"^{path} was not unpacked: .* outside of the fold"):
            add(root, path)
        assert nothing_left(root)
    assert not list(tmp_path.rglob("outside*"))
    assert not Path("/tmp/outside.png").exists()


def test_a_link_out_of_the_archive_is_refused(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(image_bytes(1))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = member("kfold/photo/cat/x.png", kind, str(secret))
        path = make_tar(tmp_path / "bad.tar", [*(member(name) for name in NAMES), link])
        with pytest.raises(DataError, match=rf"^{path} was not unpacked: .* outside the archive"):
            add(root, path)
        assert nothing_left(root)
    info = zipfile.ZipInfo("kfold/photo/cat/x.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = make_zip(tmp_path / "bad.zip", NAMES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, str(secret))
    with pytest.raises(DataError, match=rf"^{path} was not unpacked: .* is a symbolic link"):
        add(root, path)
    assert nothing_left(root)


def test_a_folder_that_is_a_link_cannot_carry_files_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    members = [
        member("kfold/photo", tarfile.SYMTYPE, str(tmp_path / "elsewhere")),
        member("kfold/photo/stray.png"),
    ]
    with pytest.raises(DataError, match=r"^\S+bad\.tar was not unpacked: .* outside the archive"):
        add(root, make_tar(tmp_path / "bad.tar", members))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_within_an_archive_becomes_a_copy(root: Path, tmp_path: Path) -> None:
    links = [
        member("kfold/photo/cat/2.png", tarfile.LNKTYPE, "kfold/photo/cat/0.png"),
        member("kfold/photo/dog/2.png", tarfile.SYMTYPE, "../cat/0.png"),
    ]
    add(root, make_tar(tmp_path / "PACS.tar", [*(member(name) for name in NAMES), *links]))
    copies = [path for path in root.rglob("2.png") if path.is_file() and not path.is_symlink()]
    assert [path.read_bytes() for path in copies] == [image_bytes(9)] * 2


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_an_archive_that_broke_off_is_refused(
    root: Path, tmp_path: Path, form: str, kept: float
) -> None:
    path = tmp_path / f"PACS.{form}"
    if form == "zip":
        make_zip(path, NAMES)
    else:
        make_tar(path, [member(name) for name in NAMES])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content.rstrip(b"\0")) * kept) + 1])
    with pytest.raises(DataError, match=rf"^{path} is damaged or incomplete"):
        add(root, path)
    assert nothing_left(root)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_device_is_refused(root: Path, tmp_path: Path, kind: bytes) -> None:
    members = [*(member(name) for name in NAMES), member("kfold/photo/cat/x.png", kind)]
    path = make_tar(tmp_path / "bad.tar", members)
    with pytest.raises(DataError, match=rf"^{path} was not unpacked: .* is a device or a pipe"):
        add(root, path)
    assert nothing_left(root)


def test_an_encrypted_archive_is_refused(root: Path, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "secret.zip", NAMES)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # says of its first member that it is
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"^{path} is encrypted. Unpack it"):
        add(root, path)
    assert nothing_left(root)


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", ["{0}.png", "{0}/1/2/3/x.png"])
def test_an_archive_of_very_many_files_is_refused(
    root: Path, tmp_path: Path, form: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.datasets.archives.FEW_ENTRIES", 100)
    names = [name.format(number) for number in range(110 if "/" not in name else 25)]
    path = tmp_path / f"many.{form}"
    if form == "zip":
        make_zip(path, [], **dict.fromkeys(names, b""))
    else:
        with tarfile.open(path, "w:gz") as archive:
            for each in names:
                archive.addfile(member(each))
    with pytest.raises(DataError, match=rf"^{path} was not unpacked: it has over \d+ files and"):
        add(root, path)
    assert nothing_left(root)


def test_overwritten_bytes_are_noticed(root: Path, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "PACS.zip", NAMES)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF  # within the first image, whose checksum the archive holds
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"^{path} is damaged"):
        add(root, path)
    assert nothing_left(root)


def test_an_archive_that_no_run_can_be_made_of_is_named_and_not_kept(
    root: Path, tmp_path: Path
) -> None:
    path = make_zip(tmp_path / "one.zip", ["photo/cat/0.png", "art/cat/0.png", "notes.txt"])
    with pytest.raises(DataError, match=rf"^{path} has only one class, cat"):
        add(root, path)
    assert nothing_left(root)


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_zip(tmp_path / "PACS.zip", NAMES)
    usage = type("Usage", (), {"free": 10})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=rf"space to unpack {path}: .* MiB needed, 0\.0 MiB free"):
        add(root, path)


def test_names_in_other_scripts_are_kept(root: Path, tmp_path: Path) -> None:
    names = [f"{domain}/{name}/写真 é.png" for domain in ("фото", "素描") for name in CLASSES]
    listing = add(root, make_zip(tmp_path / "mine.zip", names))
    assert {domain.name for domain in listing.domains} == {"фото", "素描"}
    assert open_image_set("pets", root / "pets").open_image(0).size == (8, 8)


def test_classes_that_differ_only_in_case_are_refused(root: Path, make_folder: MakeFolder) -> None:
    folder = make_folder({"a": ("Cat", "cat", "dog"), "b": ("Cat", "cat", "dog")}, 1)
    with pytest.raises(DataError, match="classes whose names differ only in case.*Cat and cat"):
        add(root, folder)


def test_names_that_only_the_encoding_of_an_accent_tells_apart_are_refused(
    root: Path, make_folder: MakeFolder
) -> None:
    folder = make_folder({"a": ("\u00e9", "e\u0301"), "b": ("\u00e9", "e\u0301")}, 1)
    with pytest.raises(DataError, match="the encoding of accents"):
        add(root, folder)
