"""Write files that survive power loss, and say what is wrong with a disk that refuses them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from pathlib import Path

from engine.errors import UserError
from engine.text import size_in_words


class LinkError(UserError, OSError):
    """A file that is not opened because it is a link, a pipe or a device."""

    exit_code = 1

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        super().__init__(
            errno.ELOOP, f"{what}, which is not opened here: delete it", os.fspath(path)
        )

    def __str__(self) -> str:
        return f"{self.filename} is {self.strerror}"


def plain_file(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file for :func:`open`, as its ``opener``, unless it is a link, a pipe or a device.

    Somebody else may have put one into a folder of ours: into a shared home, or an archive of runs.
    A link would have us write to, or show, a file that is elsewhere; a pipe would have us wait.

    Raises:
        LinkError: when it is one.
        OSError: when it cannot be opened.
    """
    if os.path.islink(path):  # opened below it may be several things, by system
        raise LinkError(path, "a symbolic link")
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LinkError(path, "no regular file")
    return descriptor


def read_plain(path: Path) -> bytes:
    """Return what is in a file, as :func:`plain_file` opens it.

    Raises:
        OSError: when it cannot be read.
    """
    with open(path, "rb", opener=plain_file) as file:
        return file.read()


def touch_plain(path: Path) -> None:
    """Make a file, or have it changed now, as :func:`plain_file` opens it.

    Raises:
        OSError: when it cannot be written.
    """
    with open(path, "ab", opener=plain_file) as file:
        os.utime(file.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    The data is on disk before the name is, and the name before this returns.

    Raises:
        OSError: when it cannot be written; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # of a disk that turned read-only: the cause counts
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk, where its file system knows how."""
    with contextlib.suppress(OSError):  # some network file systems do not
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """Say whether a disk, or somebody's share of it, had no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_trouble(error: OSError, place: Path) -> str | None:
    """Say that the disk of ``place`` is full or read-only, and how big it is; None: neither."""
    match error.errno:
        case errno.ENOSPC:
            problem = "has no space left"
        case errno.EDQUOT:
            problem = "has no space left for you (your quota is used up)"
        case errno.EROFS:
            problem = "can only be read: it was mounted so, or turned so after an error"
        case _:
            return None
    return f"The disk {describe_disk(place)} {problem}."


def describe_disk(place: Path) -> str:
    """Name the disk that holds a path, with its size and the bytes that are free."""
    mount = place.absolute()
    while not mount.is_mount() and mount != mount.parent:
        mount = mount.parent
    try:
        usage = shutil.disk_usage(mount)
    except OSError:
        return str(mount)
    return f"{mount} ({size_in_words(usage.total)}, {size_in_words(usage.free)} free)"
