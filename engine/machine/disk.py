"""Durable file writes, safe file opening, and messages about full or read-only disks."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from pathlib import Path

from engine.errors import UserError
from engine.text import format_size


class LinkError(UserError, OSError):
    """A file was not opened because it is a link, a pipe or a device; ``what`` names which."""

    exit_code = 1

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        super().__init__(
            errno.ELOOP, f"{what}, which is not allowed here. Delete it", os.fspath(path)
        )
        self.what = what

    def __str__(self) -> str:
        return f"{self.filename} is {self.strerror}"


def plain_file(path: str | os.PathLike[str], flags: int) -> int:
    """Open a regular file; an ``opener`` for :func:`open`.

    Another user may have placed a link or a pipe in a shared home or an archive of runs. Following
    a link would read or write a file elsewhere; opening a pipe would block.

    Raises:
        LinkError: if it is a link, a pipe or a device.
        OSError: if it cannot be opened.
    """
    if os.path.islink(path):  # O_NOFOLLOW's error differs between systems
        raise LinkError(path, "a symbolic link")
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LinkError(path, "not a regular file")
    return descriptor


def read_plain(path: Path, most_bytes: int | None = None) -> bytes:
    """Return a file's content, opened with :func:`plain_file`.

    Raises:
        OSError: if it cannot be read, or is larger than ``most_bytes``.
    """
    with open(path, "rb", opener=plain_file) as file:
        if most_bytes is None:
            return file.read()
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes // 2**20} MiB", os.fspath(path))
    return data


def touch_plain(path: Path) -> None:
    """Create a file or update its modification time, opened with :func:`plain_file`.

    Raises:
        OSError: if it cannot be written.
    """
    with open(path, "ab", opener=plain_file) as file:
        os.utime(file.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file atomically: readers see either the old or the new content.

    Data and name are on disk when this returns.

    Raises:
        OSError: if it cannot be written; the old file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the disk may have turned read-only
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, if the file system supports it."""
    with contextlib.suppress(OSError):  # some network file systems do not
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """Return whether an error means that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_trouble(error: OSError, place: Path) -> str | None:
    """Return a message if the disk of ``place`` is full or read-only, else None."""
    match error.errno:
        case errno.ENOSPC:
            problem = "has no space left"
        case errno.EDQUOT:
            problem = "has no space left: your quota is used up"
        case errno.EROFS:
            problem = "is read-only, by its mount options or after an error"
        case _:
            return None
    return f"The disk {describe_disk(place)} {problem}."


def describe_disk(place: Path) -> str:
    """Return the mount point of a path, with its size and free space."""
    mount = place.absolute()
    while not mount.is_mount() and mount != mount.parent:
        mount = mount.parent
    try:
        usage = shutil.disk_usage(mount)
    except OSError:
        return str(mount)
    return f"{mount} ({format_size(usage.total)}, {format_size(usage.free)} free)"
