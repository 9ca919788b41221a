"""The cache of a home: entries that are made once, shared by all processes and memory-mapped.

An entry is a folder ``KIND/KEY`` with a ``manifest.json`` and files of arrays. It is made under a
temporary name and renamed when complete, so an incomplete entry is never used; if several
processes need it, one makes it while the others wait. The key contains everything that determines
the content, so an entry never becomes outdated, only unused. When an entry is made, the least
recently used ones are removed if the cache would exceed its share of the disk.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import resource
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from engine.rundir.lock import held

MANIFEST: Final = "manifest.json"
CHECKED_BYTES: Final = 256 * 2**20
"""Maximum bytes read to verify an array: all of a small one, evenly spaced rows of a large one."""
RESIDENT_BYTES: Final = 64 * 2**20
"""Bytes read from a mapping after which its memory is released."""
SPARE_FILES: Final = 256
"""Files that a process may open in addition to mapped ones."""
SPARE_BYTES: Final = 64 * 2**20
"""Free disk space that must remain after writing an entry."""
LIMIT_SHARE: Final = 0.5
"""Fraction of its disk that the cache may use before unused entries are removed."""
WAITING_S: Final = 0.5
"""How often a process that waits for another one checks whether to stop."""
_TEMPORARY: Final = ".tmp"
RECENT_S: Final = 24 * 3600.0
"""An entry used more recently may be mapped by a process on another machine and is kept."""

T = TypeVar("T")
Array = npt.NDArray[Any]


class MappedRows:
    """The rows of an array on disk, memory-mapped.

    Only few stay resident, because ``take`` releases memory regularly.
    """

    def __init__(self, file: Path, dtype: npt.DTypeLike, row_shape: tuple[int, ...]) -> None:
        with file.open("rb") as opened:
            self._mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        self.array: Array = np.frombuffer(self._mapped, dtype=dtype).reshape(-1, *row_shape)
        self._taken_bytes = 0

    def take(self, rows: npt.NDArray[np.intp]) -> Array:
        """Return rows by their indices, as a copy."""
        taken: Array = self.array[rows]
        self._taken_bytes += taken.nbytes
        if self._taken_bytes > RESIDENT_BYTES:
            self.release()
        return taken

    def release(self) -> None:
        """Release the memory of rows that were read; they are read again when needed."""
        self._taken_bytes = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


def allow_mappings(count: int) -> None:
    """Raise this process's limit of open files, if possible: a mapped file counts as open."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@dataclass(frozen=True)
class Found(Generic[T]):
    """An entry's content; ``was``: found, missing, or damaged and made again."""

    content: T
    was: Literal["found", "missing", "damaged"]


def find_or_make(
    folder: Path, read: Callable[[Path], T | None], make: Callable[[Path], None],
    needed_bytes: int, while_waiting: Callable[[], None] = lambda: None,
) -> Found[T]:  # fmt: skip
    """Return an entry, made if it is missing or damaged.

    Args:
        folder: of the entry, ``CACHE/KIND/KEY``.
        read: returns the content of a folder; None if it is missing, damaged or out of date.
        make: writes all files into a new folder, the manifest last; may raise to abort.
        needed_bytes: size of the files.
        while_waiting: called repeatedly while another process makes it; may raise to abort.

    Raises:
        OSError: if it cannot be written, or not read back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _held_at_last(lock_of(folder), while_waiting):
        was: Literal["found", "missing", "damaged"] = "damaged" if folder.exists() else "missing"
        content = read(folder)
        if content is not None:
            was = "found"
        else:
            _make(folder, make, needed_bytes)
            content = read(folder)
    if content is None:
        raise OSError(errno.EIO, "cannot be read back after writing; check the disk", str(folder))
    with contextlib.suppress(OSError):  # a cache that cannot be written can still be read
        os.utime(folder / MANIFEST)
    return Found(content, was)


@contextlib.contextmanager
def _held_at_last(lock: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock during the block, after waiting for it without limit."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(held(lock, patience_s=WAITING_S))
                break
            except BlockingIOError:
                while_waiting()
        yield


def lock_of(folder: Path) -> Path:
    """Return the lock file of an entry; it stays when the entry is removed."""
    return folder.with_name(f"{folder.name}.lock")


def _make(folder: Path, make: Callable[[Path], None], needed_bytes: int) -> None:
    """Write a new folder that replaces the old one."""
    temporary = folder.with_name(f".{folder.name}{_TEMPORARY}")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    make_room(folder, needed_bytes)
    try:
        temporary.mkdir()
        make(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_room(folder: Path, needed_bytes: int) -> None:
    """Remove the least recently used entries until a new one fits.

    Raises:
        OSError: if it does not fit on the disk; the entry may exceed the limit on its own.
    """
    cache_dir = folder.parent.parent
    remove_leftovers(cache_dir)
    disk = shutil.disk_usage(folder.parent)
    others = [entry for entry in entries(cache_dir) if entry.folder != folder]
    used = sum(entry.size_bytes for entry in others)
    excess = max(
        used + needed_bytes - LIMIT_SHARE * disk.total, needed_bytes + SPARE_BYTES - disk.free
    )
    for entry in sorted(others, key=lambda each: each.used_at):
        if excess <= 0 or entry.is_recent:
            break
        if remove(entry):
            excess -= entry.size_bytes
    if shutil.disk_usage(folder.parent).free < needed_bytes + SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))


def room_bytes(cache_dir: Path) -> int:
    """Return how many bytes can be added: free space, and entries that may be removed for it.

    Raises:
        OSError: if the disk cannot be queried.
    """
    unused = sum(entry.size_bytes for entry in entries(cache_dir) if not entry.is_recent)
    return max(0, shutil.disk_usage(_existing(cache_dir)).free + unused - SPARE_BYTES)


def limit_bytes(cache_dir: Path) -> int:
    """Return what the cache may use of its disk before unused entries are removed.

    Raises:
        OSError: if the disk cannot be queried.
    """
    return int(LIMIT_SHARE * shutil.disk_usage(_existing(cache_dir)).total)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


@dataclass(frozen=True)
class Entry:
    """An entry on disk.

    Attributes:
        folder: of the entry.
        kind: of its content, the name of the folder above.
        size_bytes: of its files.
        used_at: when it was last opened (Unix s).
        about: description by its maker; empty for entries of older versions.
    """

    folder: Path
    kind: str
    size_bytes: int
    used_at: float
    about: dict[str, Any]

    @property
    def is_recent(self) -> bool:
        """Return whether a process may still use it."""
        return time.time() - self.used_at < RECENT_S


class _About(msgspec.Struct, frozen=True):
    about: dict[str, Any] = {}


def entries(cache_dir: Path) -> Iterator[Entry]:
    """Yield all entries, damaged ones included."""
    for folder in sorted(cache_dir.glob("*/*")):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        manifest, about, used_at = folder / MANIFEST, {}, 0.0
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            used_at = manifest.stat().st_mtime
            about = msgspec.json.decode(manifest.read_bytes(), type=_About).about
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            size = sum(file.stat().st_size for file in folder.iterdir())
            yield Entry(folder, folder.parent.name, size, used_at, about)


def remove(entry: Entry) -> bool:
    """Remove an entry; return False if a process is making or opening it.

    Raises:
        OSError: if it cannot be removed.
    """
    try:
        with held(lock_of(entry.folder), patience_s=0):
            shutil.rmtree(entry.folder)
    except BlockingIOError:
        return False
    return True


def remove_leftovers(cache_dir: Path) -> None:
    """Remove what killed processes have left of entries that they were making."""
    for temporary in cache_dir.glob(f"*/.*{_TEMPORARY}"):
        folder = temporary.with_name(temporary.name[1:].removesuffix(_TEMPORARY))
        with contextlib.suppress(OSError), held(lock_of(folder), patience_s=0):
            shutil.rmtree(temporary)


def checksum(file: Path, rows: int, row_bytes: int) -> int:
    """Return the CRC-32 of evenly spaced rows, or of all if they are few."""
    checked = _rows_checked(rows, row_bytes)
    crc = 0
    with file.open("rb") as opened:
        for number in range(checked):
            opened.seek(number * rows // checked * row_bytes)
            crc = zlib.crc32(opened.read(row_bytes), crc)
    return crc


def word_sum(array: Array) -> int:
    """Return the sum of the 32-bit words of evenly spaced rows, or of all if they are few.

    It is some ten times faster than a CRC-32 and also finds rows that were lost or overwritten.
    """
    rows = len(array)
    checked = _rows_checked(rows, array[0].nbytes)
    if checked < rows:
        array = array[np.arange(checked) * rows // checked]
    return int(array.view(np.uint32).sum(dtype=np.uint64))


def _rows_checked(rows: int, row_bytes: int) -> int:
    return max(1, min(rows, CHECKED_BYTES // row_bytes))
