"""The data set ``objects``: photographs of a Debian package, and the embedded drawings."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.catalog import CATALOG, list_datasets
from engine.datasets.debian import DebianPackage
from engine.datasets.fetch import fetch_dataset
from engine.datasets.folders import open_image_set
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol.datasets import DatasetListing, FetchDataset
from engine.protocol.work import WorkNote, WorkProgress
from tests.engine.datasets.debian_packages import (
    STAMPS,
    archive_of,
    install_apt_get,
    package,
    photographs,
    png,
)
from tests.engine.datasets.hub_server import REVISION, Hub, serve

CLASSES = ("animal", "clothing", "food", "music", "plant", "sport", "tool", "vehicle")


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    """Return a package of 14 photographs."""
    return write(tmp_path, package(photographs()))


@pytest.fixture
def no_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty folder that is the only one on the PATH with ``apt-get``, if it has one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cp"):
        (folder / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write(folder: Path, content: bytes, name: str = "stamps.deb") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def fetch(root: Path, *packages: Path, notes: list[str] | None = None) -> DatasetListing:
    def report(each: object) -> None:
        if notes is not None and isinstance(each, WorkNote):
            notes.append(each.text)

    request = FetchDataset(str(root), "objects", tuple(str(path) for path in packages))
    return fetch_dataset(request, report)


def left_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def counts(listing: DatasetListing) -> dict[str, int]:
    return {domain.name: domain.images for domain in listing.domains}


def test_photographs_of_a_package_join_the_embedded_drawings(root: Path, deb: Path) -> None:
    listing = fetch(root, deb)
    drawn = Counter(file.domain for file in open_image_set("x", CATALOG["objects-drawn"]).files)
    assert counts(listing) == {**drawn, "photo": 14}
    assert listing.classes == CLASSES
    assert listing.licenses == {
        "clipart": "public domain", "emoji": "Apache-2.0", "lineart": "MIT",
        "photo": "GPL-2.0-or-later",
    }  # fmt: skip
    assert not listing.complete
    assert any("tuxpaint-stamps-default 2022.06.04-1" in note for note in listing.notes)
    assert left_in(root) == ["objects"]
    (kept,) = [each for each in list_datasets(root) if each.name == "objects"]
    assert (kept.licenses, kept.mismatch) == (listing.licenses, None)
    image_set = open_image_set("objects", root / "objects")
    photo = next(index for index, file in enumerate(image_set.files) if file.domain == "photo")
    pixels = np.asarray(image_set.open_image(photo))
    assert pixels.shape == (128, 128, 3)
    assert (pixels[[0, -1]] == 255).all()
    assert pixels[64].min() < 100
    with pytest.raises(DataError, match="A data set named objects already exists") as error:
        fetch(root, deb)
    assert "To fetch it again, remove it first with: vld data rm objects" in str(error.value)
    assert "--replace" not in str(error.value)


def test_copies_drawings_and_other_folders_are_left_out(root: Path, tmp_path: Path) -> None:
    files = photographs()
    for path in (
        "animals/birds/0_mirror.png", "animals/birds/cartoon/tux.png", "food/pizza.png",
        "animals/mammals/toys/bear.png", "plants/flowers/plastic/rose.png", "clothes/hat.png",
        "household/dishes/mug.png", "town/house.png", "animals/birds/0.svg", "hobbies/camera.png",
    ):  # fmt: skip
        files[f"{STAMPS}/{path}"] = png(99)
    files[f"{STAMPS}/food/twin.png"] = files[f"{STAMPS}/animals/birds/0.png"]
    files[f"{STAMPS}/medical/syringe.png"] = png(100)
    files["usr/share/doc/animals/birds/0.png"] = png(101)
    listing = fetch(root, write(tmp_path, package(files)))
    assert counts(listing)["photo"] == 15
    photo = root / "objects" / "images" / "photo"
    assert sorted(path.name for path in (photo / "animal").iterdir()) == [
        "animals-birds-0.webp", "animals-birds-1.webp",
    ]  # fmt: skip
    assert len(list((photo / "tool").iterdir())) == 3
    assert not (photo / "clothing").exists()


def test_the_package_of_clip_art_is_not_needed(root: Path, deb: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    clipart = write(tmp_path, package({}, "openclipart-png"), "clipart.deb")
    assert counts(fetch(root, clipart, deb, notes=notes))["photo"] == 14
    assert notes == [f"{clipart} is not needed: its drawings are part of this program."]
    with pytest.raises(DataError, match="has no photographs. Add the file of the package"):
        fetch(root.parent / "second", clipart)


@pytest.mark.parametrize("compression", ["gz", "bz2"])
def test_packages_of_other_compressions_are_read(tmp_path: Path, compression: str) -> None:
    found = DebianPackage(
        write(tmp_path, package({"a/b.png": b"x", "a/c": b""}, compression=compression))
    )
    assert (found.name, found.version) == ("tuxpaint-stamps-default", "2022.06.04-1")
    files = found.files(lambda path: path.endswith(".png"), lambda _done, _total: None)
    assert list(files) == [("a/b.png", b"x")]


def test_packages_of_ubuntu_are_read(root: Path, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    tree = tmp_path / "tree"
    control = "Package: tuxpaint-stamps-default\nVersion: 1\nArchitecture: all\n"
    control += "Maintainer: A <a@example.org>\nDescription: stamps\n"
    for path, content in {**photographs(), "DEBIAN/control": control.encode()}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    for folder in [tree, *tree.rglob("*")]:
        folder.chmod(0o755 if folder.is_dir() else 0o644)
    deb = tmp_path / "zstd.deb"
    command = ["dpkg-deb", "-Zzstd", "--root-owner-group", "--build", str(tree), str(deb)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs a dpkg-deb with zstd")
    assert b"data.tar.zst" in deb.read_bytes()
    assert counts(fetch(root, deb))["photo"] == 14


def without_control() -> bytes:
    return archive_of({"debian-binary": b"2.0\n", "data.tar.xz": b""})


def altered() -> bytes:
    content = bytearray(package(photographs()))
    content[-2000:-1000] = bytes(1000)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a Debian package"),
        (b"PK\3\4 a zip archive", "is not a Debian package"),
        (archive_of({"a.txt": b"text"}), "is not a Debian package"),
        (without_control(), "is not a Debian package"),
        (b"!<arch>\n" + b"x" * 100, "is not a Debian package"),
        (package({}, "vim"), "is the Debian package vim, not tuxpaint-stamps-default"),
        (package(photographs())[:-500], r"is truncated \(.*\). Download it again"),
        (package(photographs())[:90], "is truncated"),
        (altered(), "is damaged: .*Download it again"),
        (package({f"{STAMPS}/food/a.png": b"no image"}), "food-a.webp cannot be read"),
        (package({"usr/share/doc/readme": b"text"}), r"2022.06.04-1\) has no known photographs"),
    ],
)  # fmt: skip
def test_other_files_are_refused_and_leave_nothing(
    root: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        fetch(root, write(tmp_path, content))
    assert left_in(root) == []


def test_a_missing_file_and_files_for_another_data_set_are_refused(
    root: Path, deb: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"^no file {tmp_path}/none.deb"):
        fetch(root, tmp_path / "none.deb")
    with pytest.raises(DataError, match="PACS is not made from Debian packages"):
        fetch_dataset(FetchDataset(str(root), "PACS", (str(deb),)), lambda _: None)


class TestApt:
    def test_without_it_the_package_and_the_next_command_are_named(
        self, root: Path, no_apt: Path
    ) -> None:
        with pytest.raises(DataError) as refusal:
            fetch(root)
        assert str(refusal.value) == (
            "tuxpaint-stamps-default is a Debian package, and this machine has no apt-get. "
            "Without apt, download https://packages.debian.org/tuxpaint-stamps-default (.deb "
            "file, 161 MB), then: vld data fetch objects DEB (DEB is that file)."
        )

    def test_a_package_that_is_not_in_the_index(self, root: Path, no_apt: Path) -> None:
        install_apt_get(no_apt, b"")
        script = (no_apt / "apt-get").read_text()
        (no_apt / "apt-get").write_text(script.replace("tuxpaint", "another"))
        with pytest.raises(DataError) as refusal:
            fetch(root)
        assert str(refusal.value).startswith(
            "apt does not know the package tuxpaint-stamps-default (Unable to locate package). "
            "Update its index with sudo apt-get update"
        )
        assert "packages.debian.org" in str(refusal.value)

    def test_packages_that_are_not_on_a_web_server_are_left_to_apt(
        self, root: Path, no_apt: Path, deb: Path
    ) -> None:
        log = install_apt_get(no_apt, deb.read_bytes(), copy=deb)
        assert counts(fetch(root))["photo"] == 14
        assert log.read_text().splitlines() == [
            "-q download --print-uris tuxpaint-stamps-default",
            "-q download tuxpaint-stamps-default",
        ]
        assert left_in(root) == ["objects"]

    def test_without_a_network_apts_reason_is_named(
        self, root: Path, no_apt: Path, deb: Path
    ) -> None:
        install_apt_get(no_apt, deb.read_bytes(), address="http://127.0.0.1:9/stamps.deb")
        with pytest.raises(DataError, match="cannot be downloaded with apt: Unable to locate"):
            fetch(root)
        assert "objects" not in left_in(root)

    def test_too_little_space_is_named_before_the_download(
        self, root: Path, no_apt: Path, deb: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install_apt_get(no_apt, deb.read_bytes(), copy=deb)
        usage = shutil.disk_usage("/")._replace(free=10)
        with monkeypatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda _: usage)
            with pytest.raises(DataError, match=r"Not enough space to download stamps_1_all\.deb"):
                fetch(root)

    def test_a_disk_that_fills_up_leaves_nothing(
        self, root: Path, deb: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_path: Path, _content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", fail)
            with pytest.raises(DataError, match=r"The disk of .* is full .*objects was not added"):
                fetch(root, deb)
        assert left_in(root) == []


class TestServer:
    """Packages on a web server, which are downloaded without apt."""

    @pytest.fixture
    def content(self) -> bytes:
        return package(photographs())

    @pytest.fixture
    def server(self, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with serve(Hub({"stamps.deb": content})) as server:
            yield server

    def address(self, server: Hub) -> str:
        return f"{server.endpoint}/datasets/{server.hub_id}/resolve/{REVISION}/stamps.deb"

    def test_a_package_is_downloaded_with_progress(
        self, root: Path, no_apt: Path, server: Hub, content: bytes
    ) -> None:
        install_apt_get(no_apt, content, address=self.address(server))
        reports: list[object] = []
        fetch_dataset(FetchDataset(str(root), "objects"), reports.append)
        shown = [each.what for each in reports if isinstance(each, WorkProgress)]
        assert list(dict.fromkeys(shown)) == ["downloading", "reading"]
        assert left_in(root) == ["objects"]

    def test_a_partial_download_is_resumed(
        self, root: Path, no_apt: Path, server: Hub, content: bytes
    ) -> None:
        install_apt_get(no_apt, content, address=self.address(server))
        server.drop_from = 0
        with pytest.raises(DataError, match="The partial download is kept; run the command again"):
            fetch(root)
        assert left_in(root) == [".objects.download"]
        fetch(root)
        assert server.ranges("stamps.deb") == [None, "bytes=1000-"]
        assert left_in(root) == ["objects"]

    def test_a_download_with_another_checksum_is_deleted(
        self, root: Path, no_apt: Path, server: Hub, content: bytes
    ) -> None:
        install_apt_get(no_apt, content, address=self.address(server), checksum="0" * 64)
        with pytest.raises(DataError, match="was damaged in the download and deleted"):
            fetch(root)
        assert list((root / ".objects.download").iterdir()) == []

    def test_a_moved_package_is_left_to_apt(
        self, root: Path, no_apt: Path, server: Hub, content: bytes, deb: Path
    ) -> None:
        install_apt_get(no_apt, content, address=f"{server.endpoint}/moved.deb", copy=deb)
        assert counts(fetch(root))["photo"] == 14


def test_counts_are_those_of_the_embedded_drawings() -> None:
    drawn = Counter(file.domain for file in open_image_set("x", CATALOG["objects-drawn"]).files)
    assert {**drawn, "photo": 269} == STUDY_SETS["objects"].images


def test_cards_of_other_data_sets_have_no_licences(root: Path, tmp_path: Path) -> None:
    fetch(root, write(tmp_path, package(photographs())))
    card = json.loads((root / "objects" / "dataset.json").read_text())
    assert card["licenses"]["photo"] == "GPL-2.0-or-later"
    emoji = next(each for each in list_datasets(root) if each.name == "emoji")
    assert emoji.licenses["twemoji"] == "CC-BY-4.0"
    assert set(emoji.licenses) == {domain.name for domain in emoji.domains}


@pytest.mark.slow
def test_the_published_package_gives_the_published_photographs(root: Path) -> None:
    """Needs apt, and downloads 161 MB."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get")
    try:
        listing = fetch(root)
    except DataError as error:
        if "tuxpaint" in str(error):
            pytest.skip(str(error))
        raise
    assert listing.complete
    with Image.open(next((root / "objects/images/photo/food").iterdir())) as image:
        assert image.size == (128, 128)
