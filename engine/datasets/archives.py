"""Safe unpacking of zip and tar archives, and images read from tar archives."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import tempfile
import weakref
import zipfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from engine.datasets.sources import TAR_SUFFIXES, ZIP_DAMAGE, TreeSource, read_image_file
from engine.datasets.tree import Tree, folder_tree
from engine.errors import DataError
from engine.text import format_size
from engine.work import Progress

_COPIED_BYTES: Final = 2**20
MOST_GROWTH: Final = 100
"""Maximum ratio of unpacked to packed size; images hardly compress."""
SMALL_BYTES: Final = 2**30
"""Unpacked size that is always allowed."""
LEAST_BYTES: Final = 4096
"""Disk space of the smallest file."""
MEMBER_BYTES: Final = 200
"""Minimum size of an image and its header in an archive, to limit the number of files."""
FEW_ENTRIES: Final = 20_000
"""Number of files and folders that is always allowed."""
_DAMAGE: Final = (*ZIP_DAMAGE, tarfile.TarError, IndexError)
"""Exceptions for damaged archives, in addition to OSError without an errno."""
_UNPACK_YOURSELF: Final = "If you trust it, unpack it yourself and give the folder."


def is_archive(path: Path) -> bool:
    """Return whether :func:`unpack` supports a file, by its name or its content."""
    if not path.is_file():
        return False
    is_named = path.name.lower().endswith((".zip", *TAR_SUFFIXES))
    return is_named or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, into: Path, on_progress: Progress) -> None:
    """Unpack the regular files of an archive into an existing folder.

    Paths outside of the folder (absolute, or with ``..``) and links outside of the archive are
    rejected. A link within a tar archive becomes a copy of its target. Modes and owners are
    ignored.

    Raises:
        DataError: if it is damaged, encrypted or rejected; some files may have been written.
        OSError: if a file cannot be written.
    """
    try:
        is_tar = archive.name.lower().endswith(TAR_SUFFIXES)
        if archive.name.lower().endswith(".zip") or (not is_tar and zipfile.is_zipfile(archive)):
            _unpack_zip(archive, into, on_progress)
        else:
            _unpack_tar(archive, into, on_progress)
    except DataError:  # also a ValueError
        raise
    except _DAMAGE as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno is None:  # gzip and bz2 report damaged content this way
            raise _damaged(archive, error) from None
        raise


def _damaged(archive: Path, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return DataError(f"{archive} is damaged or incomplete: {reason}. Download it again.")


def _unpack_zip(archive: Path, into: Path, on_progress: Progress) -> None:
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        needed = sum(member.file_size for member in members)
        _check_room(archive, into, needed, needed)
        done, entries = 0, _Entries(archive, into)
        for member in members:
            target = entries.take(member.filename)
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise _refused(archive, member.filename, "a symbolic link")
            if member.flag_bits & 1:
                raise DataError(f"{archive} is encrypted. Unpack it and give the folder.")
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                with packed.open(member) as content:
                    _write(target, content)
            done += member.file_size
            on_progress(done, needed)


def _unpack_tar(archive: Path, into: Path, on_progress: Progress) -> None:
    size, written = archive.stat().st_size, 0
    entries = _Entries(archive, into)
    with archive.open("rb") as file, tarfile.open(fileobj=file) as packed:
        for member in packed:
            target = entries.take(member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            if not (member.isreg() or member.islnk() or member.issym()):
                raise _refused(archive, member.name, "a device or a pipe")
            try:
                content = packed.extractfile(member)
            except KeyError:
                raise _refused(
                    archive, member.name, f"a link to {member.linkname}, outside the archive"
                ) from None
            if content is not None:  # None: a link to a folder
                with content:
                    coming = content.seek(0, io.SEEK_END)  # also for links, which are copied
                    content.seek(0)
                    written += max(coming, LEAST_BYTES)
                    _check_room(archive, into, written, coming)
                    _write(target, content)
            on_progress(file.tell(), size)
        if not _ends_well(packed):
            raise tarfile.ReadError("the end is missing")
        on_progress(size, size)


def _ends_well(packed: tarfile.TarFile) -> bool:
    """Return whether the last header is the block of zeros that ends an archive.

    ``tarfile`` also accepts the end of a truncated file.
    """
    stream: Any = packed.fileobj
    stream.seek(packed.offset)
    return bool(stream.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE))


def _check_room(archive: Path, into: Path, unpacked: int, coming: int) -> None:
    """Check the unpacked size against the archive's size and the free disk space.

    Args:
        archive: the archive.
        into: folder to unpack into.
        unpacked: total unpacked bytes, as far as known.
        coming: bytes not yet written.

    Raises:
        DataError: if it is too large; states the sizes.
    """
    if unpacked > max(SMALL_BYTES, MOST_GROWTH * archive.stat().st_size):
        raise DataError(
            f"{archive} was not unpacked: it would grow to {format_size(unpacked)}, over "
            f"{MOST_GROWTH} times its size. {_UNPACK_YOURSELF}"
        )
    free = shutil.disk_usage(into).free
    if coming > free:
        raise DataError(
            f"Not enough space to unpack {archive}: {format_size(unpacked)} needed, "
            f"{format_size(free)} free in {into.parent}. Free space, or use another --home."
        )


class _Entries:
    """Counts an archive's files and folders and returns their target paths."""

    def __init__(self, archive: Path, into: Path) -> None:
        self._archive, self._into = archive, into
        self._most = max(FEW_ENTRIES, archive.stat().st_size // MEMBER_BYTES)
        self._files = 0
        self._folders: set[PurePosixPath] = set()

    def take(self, name: str) -> Path:
        """Return the target path of a member.

        Raises:
            DataError: if it is outside of the folder, or there are too many members.
        """
        path = _path_within(self._archive, name)
        self._files += 1
        for folder in path.parents:
            if folder in self._folders:
                break
            self._folders.add(folder)
        if self._files + len(self._folders) > self._most:
            raise DataError(
                f"{self._archive} was not unpacked: it has over {self._most:,} files and folders, "
                f"too many for an archive of its size. {_UNPACK_YOURSELF}"
            )
        return self._into / path


def _path_within(archive: Path, name: str) -> PurePosixPath:
    """Return a member's relative path; raise DataError if it is outside of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    is_drive = bool(path.parts) and path.parts[0].endswith(":")
    if path.is_absolute() or is_drive or ".." in path.parts or "\0" in name:
        raise _refused(archive, name, "a path outside of the folder")
    return path


def _write(target: Path, content: IO[bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file, _COPIED_BYTES)


def _refused(archive: Path, name: str, what: str) -> DataError:
    return DataError(f"{archive} was not unpacked: {name!r} is {what}. {_UNPACK_YOURSELF}")


class TarSource(TreeSource):
    """Images in a tar archive, unpacked into a temporary folder that is deleted with this object.

    The stamp of every image is the archive's modification time in ns, so that its cache stays
    valid while the archive is unchanged.
    """

    def read(self, path: str) -> bytes:
        """Return the content of a member."""
        return read_image_file(self._folder / path)

    def _tree(self) -> Tree:
        tree = folder_tree(self._folder)
        stamp = self._location.stat().st_mtime_ns
        tree.files = [replace(file, stamp=stamp) for file in tree.files]
        return tree

    @cached_property
    def _folder(self) -> Path:
        folder = tempfile.mkdtemp(prefix="vld-unpacked-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        unpack(self._location, Path(folder), lambda _done, _total: None)
        return Path(folder)
