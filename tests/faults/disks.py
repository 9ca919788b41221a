"""Small file systems of our own, to fill up and to break."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MEBIBYTE = 2**20


@contextlib.contextmanager
def small_disk(place: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a file system of this size in memory; skip where that is not allowed."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextlib.contextmanager
def breakable_disk(place: Path, image: Path, mebibytes: int) -> Iterator[Path]:
    """Mount an ext4 file system in a file; :func:`break_disk` turns it read-only."""
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(mebibytes * MEBIBYTE)
    try:
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT TESTED: no mkfs.ext4 to make a file system that breaks")
    _mount("-o", "loop", str(image), str(place))
    try:
        yield place
    finally:
        _unmount(place)


def break_disk(place: Path) -> None:
    """Turn a file system read-only under the files that are open in it, as after an I/O error."""
    subprocess.run(["mount", "-o", "remount,abort", str(place)], check=True)


def mend_disk(place: Path, image: Path) -> None:
    """Mount a file system that broke again, checked as at the start of a machine."""
    _unmount(place)
    subprocess.run(["e2fsck", "-p", str(image)], capture_output=True, check=False)
    _mount("-o", "loop", str(image), str(place))


def fill_up(place: Path) -> Path:
    """Take all the space there is, and return the file to delete."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\xa5" * 4096) == 4096:
            pass
    return filler


def _mount(*arguments: str) -> None:
    mount = ["mount", *arguments]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: mounting a file system takes root")


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)
