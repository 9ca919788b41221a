"""The cache stays within its share of the disk, at the cost of what was used least recently."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from engine.cache import LIMIT_SHARE, MANIFEST, entries, find_or_make, lock_of, remove
from engine.rundir.lock import held

DAY_S = 24 * 3600.0
ENTRY_BYTES = 1030


def read(folder: Path) -> bytes | None:
    file = folder / "content.bin"
    return file.read_bytes() if file.exists() else None


def make(folder: Path) -> None:
    (folder / "content.bin").write_bytes(bytes(1000))
    (folder / MANIFEST).write_bytes(b'{"about": {"dataset": "pets"}}')


def add(cache_dir: Path, key: str, used_before_s: float = 0.0, kind: str = "images") -> Path:
    folder = cache_dir / kind / key
    assert find_or_make(folder, read, make, ENTRY_BYTES).was == "missing"
    used_at = time.time() - used_before_s
    os.utime(folder / MANIFEST, (used_at, used_at))
    return folder


def keys(cache_dir: Path) -> set[str]:
    return {entry.folder.name for entry in entries(cache_dir)}


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the disk so small that the cache may hold three entries."""
    usage = shutil.disk_usage("/")
    total = int(3.5 * ENTRY_BYTES / LIMIT_SHARE)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(total=total, free=2**40))


@pytest.mark.usefixtures("limit")
def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    add(tmp_path, "old", 3 * DAY_S, "features")
    add(tmp_path, "older", 5 * DAY_S)
    add(tmp_path, "new")
    add(tmp_path, "newest")
    assert keys(tmp_path) == {"old", "new", "newest"}
    assert find_or_make(tmp_path / "features" / "old", read, make, ENTRY_BYTES).was == "found"
    add(tmp_path, "one more")
    assert keys(tmp_path) == {"old", "new", "newest", "one more"}  # all were used today


@pytest.mark.usefixtures("limit")
def test_an_entry_that_is_being_opened_stays(tmp_path: Path) -> None:
    used = add(tmp_path, "used", 9 * DAY_S)
    add(tmp_path, "a", 3 * DAY_S)
    add(tmp_path, "b", 2 * DAY_S)
    with held(lock_of(used)):
        add(tmp_path, "c")
    assert keys(tmp_path) == {"used", "b", "c"}


def test_entries_are_described_even_when_damaged(tmp_path: Path) -> None:
    add(tmp_path, "a")
    (add(tmp_path, "b") / MANIFEST).write_bytes(b"{")
    (add(tmp_path, "c") / MANIFEST).unlink()
    found = {entry.folder.name: entry for entry in entries(tmp_path)}
    assert {key: entry.about.get("dataset") for key, entry in found.items()} == {
        "a": "pets", "b": None, "c": None,
    }  # fmt: skip
    assert found["c"].size_bytes == 1000
    assert all(remove(entry) for entry in found.values())
    assert keys(tmp_path) == set()


def test_waiting_for_another_process_can_be_aborted(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "a"

    def stop() -> None:
        raise KeyboardInterrupt

    add(tmp_path, "b")
    with held(lock_of(folder)), pytest.raises(KeyboardInterrupt):
        find_or_make(folder, read, make, ENTRY_BYTES, stop)
    assert find_or_make(folder, read, make, ENTRY_BYTES, stop).was == "missing"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left, busy = tmp_path / "features" / ".left.tmp", tmp_path / "images" / ".busy.tmp"
    for folder in (left, busy):
        folder.mkdir(parents=True)
        (folder / "content.bin").write_bytes(bytes(1000))
    with held(lock_of(tmp_path / "images" / "busy")):
        add(tmp_path, "a")
    assert not left.exists()
    assert busy.exists()
