"""Imports that are interrupted, killed, in each other's way, or run out of disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from engine.datasets.catalog import list_datasets
from engine.datasets.folders import open_image_set
from engine.datasets.named_sets import staged
from engine.datasets.register import add_dataset
from engine.errors import DataError
from engine.protocol.datasets import AddDataset
from tests.engine.datasets.published_sets import image_bytes

NAMES = [f"{d}/{c}/{n}.png" for d in ("art", "photo") for c in ("cat", "dog") for n in range(1000)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in NAMES:
            file.writestr(name, image_bytes(3))
    return path


def start(root: Path, archive: Path) -> subprocess.Popen[bytes]:
    """Start an import, and return when it has told of its progress."""
    request = msgspec.json.encode(AddDataset(str(root), "pets", str(archive))).decode()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.datasets", request], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"unpacking" in process.stdout.readline()
    return process


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(
    root: Path, archive: Path, signal_number: signal.Signals
) -> None:
    with start(root, archive) as process:
        process.send_signal(signal_number)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(root.iterdir()) == []


def test_what_a_killed_import_left_is_never_used_and_in_nobodys_way(
    root: Path, archive: Path
) -> None:
    with start(root, archive) as process:
        process.kill()
    assert [path.name for path in root.iterdir()] == [".pets.tmp"]
    assert "pets" not in {listing.name for listing in list_datasets(root)}
    add_dataset(AddDataset(str(root), "pets", str(archive)), lambda _: None)
    assert [path.name for path in root.iterdir()] == ["pets"]
    assert len(open_image_set("pets", root / "pets")) == len(NAMES)


def test_two_at_once_are_kept_apart(root: Path, archive: Path) -> None:
    with start(root, archive) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(DataError, match="Another process is adding pets"):
            add_dataset(AddDataset(str(root), "pets", str(archive)), lambda _: None)
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(open_image_set("pets", root / "pets")) == len(NAMES)


def test_a_full_disk_is_told_and_nothing_is_kept(
    root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    copy = zipfile.shutil.copyfileobj  # type: ignore[attr-defined]

    def copy_some(source: object, target: object, *length: int) -> None:
        written.append(target)
        if len(written) == 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copy(source, target, *length)

    monkeypatch.setattr("shutil.copyfileobj", copy_some)
    with pytest.raises(DataError, match=r"disk of .* is full .* pets was not added.*--home"):
        add_dataset(AddDataset(str(root), "pets", str(archive)), lambda _: None)
    assert list(root.iterdir()) == []


def test_a_stage_takes_its_place_at_the_end_and_not_before(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pets"
    with staged(folder) as stage:
        (stage / "file").write_text("x")
        assert not folder.exists()
    assert (folder / "file").read_text() == "x"
    with pytest.raises(RuntimeError), staged(tmp_path / "new" / "other"):
        raise RuntimeError
    assert {path.name for path in folder.parent.iterdir()} == {"pets"}
