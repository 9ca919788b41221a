"""Zip and tar archives, unpacked so that nothing lands outside the folder meant for it."""

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

from engine.datasets.progress import Progress
from engine.datasets.sources import TAR_SUFFIXES, ZIP_DAMAGE, TreeSource, read_image_file
from engine.datasets.tree import Tree, folder_tree
from engine.errors import DataError
from engine.text import size_in_words

_COPIED_BYTES: Final = 2**20
MOST_GROWTH: Final = 100
"""How many times its size an archive may unpack to; images hardly grow at all."""
SMALL_BYTES: Final = 2**30
"""What an archive may unpack to however small it is."""
LEAST_BYTES: Final = 4096
"""What the smallest file takes of a disk."""
MEMBER_BYTES: Final = 200
"""What an image and its heading take of an archive at least; more files hold no images."""
FEW_ENTRIES: Final = 20_000
"""Files and folders that an archive may hold however small it is."""
_DAMAGE: Final = (*ZIP_DAMAGE, tarfile.TarError, IndexError)
"""What the standard library raises on damaged archives, besides OSError without a number."""


def is_archive(path: Path) -> bool:
    """Say whether :func:`unpack` takes a file: by its name, else by its content."""
    if not path.is_file():
        return False
    is_named = path.name.lower().endswith((".zip", *TAR_SUFFIXES))
    return is_named or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, into: Path, on_progress: Progress) -> None:
    """Unpack the regular files of an archive into a folder that is there.

    A name that leads out of the folder (absolute, or with ``..``) and a link that leads out of
    the archive are refused. A link within a tar archive becomes a copy of what it names. Modes
    and owners are not taken over.

    Raises:
        DataError: when it is damaged, encrypted, or refused; files may have been written then.
        OSError: when a file cannot be written.
    """
    try:
        is_tar = archive.name.lower().endswith(TAR_SUFFIXES)
        if archive.name.lower().endswith(".zip") or (not is_tar and zipfile.is_zipfile(archive)):
            _unpack_zip(archive, into, on_progress)
        else:
            _unpack_tar(archive, into, on_progress)
    except DataError:  # a refusal, though it is a ValueError too
        raise
    except _DAMAGE as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno is None:  # gzip and bz2 tell of bad content so
            raise _damaged(archive, error) from None
        raise


def _damaged(archive: Path, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return DataError(f"{archive} is damaged, or not downloaded to its end: {reason}. Get it again.")


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
                raise DataError(f"{archive} is encrypted: unpack it, and give the folder.")
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
                    coming = content.seek(0, io.SEEK_END)  # of a link: what it is a copy of
                    content.seek(0)
                    written += max(coming, LEAST_BYTES)
                    _check_room(archive, into, written, coming)
                    _write(target, content)
            on_progress(file.tell(), size)
        if not _ends_well(packed):
            raise tarfile.ReadError("its end is missing")
        on_progress(size, size)


def _ends_well(packed: tarfile.TarFile) -> bool:
    """Say whether the last header read is the block of zeros that ends an archive.

    ``tarfile`` takes the end of the file for it, wherever an archive broke off.
    """
    stream: Any = packed.fileobj
    stream.seek(packed.offset)
    return bool(stream.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE))


def _check_room(archive: Path, into: Path, unpacked: int, coming: int) -> None:
    """Refuse an archive that grows as no images do, or that the disk has no room for.

    Args:
        archive: it.
        into: folder that it is unpacked into.
        unpacked: bytes that come out of it, as far as that is known.
        coming: those of them that are not written yet.

    Raises:
        DataError: saying how much it is.
    """
    if unpacked > max(SMALL_BYTES, MOST_GROWTH * archive.stat().st_size):
        raise DataError(
            f"{archive} was not unpacked: it would grow to {size_in_words(unpacked)}, over "
            f"{MOST_GROWTH} times its size. If you trust it, unpack it yourself and give the "
            "folder."
        )
    free = shutil.disk_usage(into).free
    if coming > free:
        raise DataError(
            f"{archive} unpacks to {size_in_words(unpacked)}, and {size_in_words(free)} are "
            f"free in {into.parent}. Free some, or choose another place with --home."
        )


class _Entries:
    """Counts the files and folders that come out of an archive, and says where they go."""

    def __init__(self, archive: Path, into: Path) -> None:
        self._archive, self._into = archive, into
        self._most = max(FEW_ENTRIES, archive.stat().st_size // MEMBER_BYTES)
        self._files = 0
        self._folders: set[PurePosixPath] = set()

    def take(self, name: str) -> Path:
        """Return where a member goes.

        Raises:
            DataError: when its name leads out of the folder, or the members are too many.
        """
        path = _path_within(self._archive, name)
        self._files += 1
        for folder in path.parents:
            if folder in self._folders:
                break
            self._folders.add(folder)
        if self._files + len(self._folders) > self._most:
            raise DataError(
                f"{self._archive} was not unpacked: it holds over {self._most:,} files and "
                "folders, too many for images in an archive of its size. If you trust it, unpack "
                "it yourself and give the folder."
            )
        return self._into / path


def _path_within(archive: Path, name: str) -> PurePosixPath:
    """Return a member's path; refuse one that leads out of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    is_drive = bool(path.parts) and path.parts[0].endswith(":")
    if path.is_absolute() or is_drive or ".." in path.parts or "\0" in name:
        raise _refused(archive, name, "a name that leads out of its folder")
    return path


def _write(target: Path, content: IO[bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file, _COPIED_BYTES)


def _refused(archive: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{archive} was not unpacked: {name!r} is {what}. If you trust it, unpack it yourself and "
        "give the folder."
    )


class TarSource(TreeSource):
    """Images in a tar archive, unpacked into a temporary folder that goes with this object.

    The stamp of every image is the archive's modification time in ns: what was decoded from it is
    found again for as long as the archive stays the same.
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
