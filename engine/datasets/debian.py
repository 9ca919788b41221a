"""Debian packages: their files, read without installing them, and their download with apt."""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple

from engine.errors import DataError
from engine.machine.disk import is_full
from engine.text import format_size, without_secrets
from engine.work import Progress

BLOCK_BYTES: Final = 2**20
MOST_FILE_BYTES: Final = 2**27
"""Maximum size of a file of a package; larger ones are ignored."""
TIMEOUT_S: Final = 60
"""How long a server may send nothing."""
POLL_S: Final = 0.2
_AR_MAGIC: Final = b"!<arch>\n"
_AR_HEADER_BYTES: Final = 60
_TAR_OF: Final = {"control": "--ctrl-tarfile", "data": "--fsys-tarfile"}
"""Option of ``dpkg-deb`` that writes a member of a package as an uncompressed tar archive."""
_DAMAGE: Final = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError)
"""Exceptions for damaged packages, in addition to OSError without an errno."""


class _Member(NamedTuple):
    """A member of a package's outer archive, and where its content is, in bytes."""

    name: str
    start: int
    size: int


class DebianPackage:
    """A ``.deb`` file: an ``ar`` archive of two tar archives, ``control`` and ``data``."""

    def __init__(self, path: Path) -> None:
        """Read the package's name and version.

        Raises:
            DataError: if the file is missing, truncated, damaged or not a Debian package.
        """
        self.path = path
        self._members = {each.name.partition(".")[0]: each for each in _members(path)}
        if not {"debian-binary", *_TAR_OF} <= self._members.keys():
            raise DataError(f"{path} is not a Debian package (.deb file).")
        fields = self._fields()
        self.name, self.version = fields.get("Package", ""), fields.get("Version", "")

    def files(
        self, is_wanted: Callable[[str], bool], on_progress: Progress
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the path and content of the files with wanted paths, links to files included.

        Args:
            is_wanted: called with the path of each file, relative to the root of the file system.
            on_progress: called with the bytes read of the package and their total.

        Raises:
            DataError: if the package is damaged.
        """
        links: dict[str, str] = {}
        yield from self._files("data", is_wanted, on_progress, links)
        wanted: dict[str, list[str]] = {}
        for path in filter(is_wanted, links):
            wanted.setdefault(_target(path, links), []).append(path)
        if wanted:  # their contents may have come before the links
            for path, content in self._files("data", wanted.__contains__, on_progress):
                yield from ((link, content) for link in wanted[path])

    def _fields(self) -> dict[str, str]:
        """Return the fields of the package's ``control`` file."""
        control = dict(self._files("control", "control".__eq__, lambda _done, _total: None))
        if "control" not in control:
            raise DataError(f"{self.path} is not a Debian package: it has no control file.")
        text = control["control"].decode(errors="replace")
        return dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", text, re.MULTILINE))

    def _files(
        self,
        part: str,
        is_wanted: Callable[[str], bool],
        on_progress: Progress,
        links: dict[str, str] | None = None,
    ) -> Iterator[tuple[str, bytes]]:
        """Yield regular files; add the targets of links to ``links``."""
        try:
            with self._opened(part, on_progress) as archive:
                for member in archive:
                    path = member.name.removeprefix("./")
                    if links is not None and (member.issym() or member.islnk()):
                        folder = PurePosixPath(path).parent if member.issym() else ""
                        links[path] = os.path.normpath(f"/{folder}/{member.linkname}").lstrip("/")
                    if member.size > MOST_FILE_BYTES or not is_wanted(path):
                        continue
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is not None:
                        yield path, content.read()
        except DataError:  # also a ValueError
            raise
        except _DAMAGE as error:
            raise self._damaged(error) from None
        except OSError as error:
            if error.errno is None:  # gzip and bz2 report damaged content this way
                raise self._damaged(error) from None
            raise

    @contextlib.contextmanager
    def _opened(self, part: str, on_progress: Progress) -> Iterator[tarfile.TarFile]:
        member = self._members[part]
        if member.name.endswith(".zst"):  # Ubuntu's packages
            with (
                _written_by_dpkg(self.path, part) as written,
                tarfile.open(fileobj=written, mode="r|") as archive,
            ):
                yield archive
            return
        with self.path.open("rb") as file:
            content: Any = _Part(file, member, on_progress)  # tarfile only reads it
            with tarfile.open(fileobj=content, mode="r|*") as archive:
                yield archive

    def _damaged(self, error: Exception) -> DataError:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        return DataError(f"{self.path} is damaged: {reason}. Download it again.")


def _target(path: str, links: Mapping[str, str]) -> str:
    """Return the file that a link leads to, over other links."""
    seen = set()
    while path in links and path not in seen:
        seen.add(path)
        path = links[path]
    return path


class _Part:
    """The content of a member, read from its start to its end."""

    def __init__(self, file: IO[bytes], member: _Member, on_progress: Progress) -> None:
        file.seek(member.start)
        self._file, self._size, self._done = file, member.size, 0
        self._on_progress = on_progress

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        block = self._file.read(min(size, self._size - self._done))
        self._done += len(block)
        self._on_progress(self._done, self._size)
        return block


def _members(path: Path) -> list[_Member]:
    """Return the members of an ``ar`` archive.

    Raises:
        DataError: if the file is missing, truncated or something else.
    """
    other = DataError(f"{path} is not a Debian package (.deb file).")
    try:
        with path.open("rb") as file:
            size, found = os.fstat(file.fileno()).st_size, []
            if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
                raise other
            while header := file.read(_AR_HEADER_BYTES):
                name, length = header[:16].decode("ascii", "replace"), header[48:58].strip()
                start = file.tell()
                if len(header) == _AR_HEADER_BYTES and not length.isdigit():
                    raise other
                if len(header) < _AR_HEADER_BYTES or start + int(length) > size:
                    raise DataError(
                        f"{path} is truncated ({format_size(size)}). Download it again."
                    )
                found.append(_Member(name.strip().rstrip("/"), start, int(length)))
                file.seek(int(length) + int(length) % 2, os.SEEK_CUR)
    except FileNotFoundError:
        raise DataError(f"no file {path}.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    return found


@contextlib.contextmanager
def _written_by_dpkg(path: Path, part: str) -> Iterator[IO[bytes]]:
    """Yield a part of a package as an uncompressed tar archive.

    Raises:
        DataError: if dpkg is not installed.
    """
    if shutil.which("dpkg-deb") is None:
        raise DataError(f"{path} is compressed with zstd; reading it requires dpkg-deb (dpkg).")
    command = ["dpkg-deb", _TAR_OF[part], str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            process.kill()


class _Published(NamedTuple):
    """A package in apt's index; ``checksum`` is such as ``SHA256:6db6…``."""

    address: str
    file_name: str
    size: int
    checksum: str


def download_package(name: str, into: Path, on_progress: Progress) -> DebianPackage:
    """Download a package with apt into ``into``, without installing it and without root.

    Packages on web servers are downloaded directly, because ``apt-get download`` does not resume.
    It is used for all others, and if the server cannot be reached without apt's settings.

    Raises:
        DataError: if apt is missing or does not know the package, the download fails (the partial
            download is kept, and the next call resumes it), or the disk has not enough space.
        OSError: if the disk is full or cannot be written.
    """
    into.mkdir(parents=True, exist_ok=True)
    published = _find(name)
    file = into / published.file_name
    if not file.exists():
        _check_space(published, into)
        part = file.with_name(f"{file.name}.part")
        try:
            is_here = _download(published, part, on_progress)
        except (OSError, HTTPException) as error:  # URLError is an OSError
            if is_full(error):
                raise
            is_here = False
        if not is_here:
            _download_with_apt(name, published, part, on_progress)
        _check(published, part)
        part.rename(file)
    on_progress(published.size, published.size)
    return DebianPackage(file)


def _find(name: str) -> _Published:
    """Ask apt where a package is."""
    if shutil.which("apt-get") is None:
        raise DataError(f"{name} is a Debian package, and this machine has no apt-get.")
    asked = _apt_get("download", "--print-uris", name)
    output, errors = asked.communicate()
    for line in output.splitlines():
        address, file_name, size, checksum = [*shlex.split(line), "", "", "", ""][:4]
        if size.isdigit() and Path(file_name).name == file_name:
            return _Published(address, file_name, int(size), checksum)
    raise DataError(
        f"apt does not know the package {name} ({_reason(errors)}). Update its index with "
        "sudo apt-get update, and on Ubuntu enable the component universe."
    )


def _check_space(published: _Published, into: Path) -> None:
    free = shutil.disk_usage(into).free
    if free < published.size:
        raise DataError(
            f"Not enough space to download {published.file_name}: {format_size(published.size)} "
            f"needed, {format_size(free)} free in {into.parent}. Free space, or use another --home."
        )


def _download(published: _Published, part: Path, on_progress: Progress) -> bool:
    """Download a package from a web server, resuming an earlier download.

    Returns False if it is not on a web server.
    """
    if not published.address.startswith(("http://", "https://")):
        return False
    with part.open("ab") as local:
        if local.tell() >= published.size:
            return True
        headers = {"Range": f"bytes={local.tell()}-"} if local.tell() else {}
        request = urllib.request.Request(published.address, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as remote:
            if remote.status != HTTPStatus.PARTIAL_CONTENT:
                local.truncate(0)
            while block := remote.read1(BLOCK_BYTES):
                local.write(block)
                local.flush()
                on_progress(local.tell(), published.size)
    if part.stat().st_size < published.size:
        raise ConnectionError
    return True


def _download_with_apt(name: str, published: _Published, part: Path, on_progress: Progress) -> None:
    """Download a package with apt-get, from the start."""
    folder = part.with_name("apt")
    folder.mkdir(exist_ok=True)
    file = folder / published.file_name
    process = _apt_get("download", name, cwd=folder)
    try:
        while process.poll() is None:
            time.sleep(POLL_S)
            with contextlib.suppress(FileNotFoundError):
                on_progress(file.stat().st_size, published.size)
    finally:
        process.terminate()
    _, errors = process.communicate()
    if process.returncode != 0 or not file.exists():
        kept = part.exists() and part.stat().st_size > 0
        advice = " The partial download is kept; run the command again to resume." if kept else ""
        raise DataError(
            f"{published.file_name} cannot be downloaded with apt: {_reason(errors)}.{advice}"
        )
    file.replace(part)


def _check(published: _Published, part: Path) -> None:
    """Check a download; delete a damaged one.

    Raises:
        DataError: if it is damaged.
    """
    kind, _, expected = published.checksum.partition(":")
    is_whole = part.stat().st_size == published.size
    if is_whole and kind.lower() in hashlib.algorithms_available:
        with part.open("rb") as content:
            is_whole = hashlib.file_digest(content, kind.lower()).hexdigest() == expected
    if not is_whole:
        part.unlink()
        raise DataError(
            f"{published.file_name} was damaged in the download and deleted. Run the command again."
        )


def _apt_get(*words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["apt-get", "-q", *words], cwd=cwd, env={**os.environ, "LC_ALL": "C"}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _reason(errors: str) -> str:
    """Return apt's first error, or the last line of its output."""
    lines = [without_secrets(line.strip()) for line in errors.splitlines() if line.strip()]
    errors_only = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return (errors_only or lines[-1:] or ["no reason given"])[0].rstrip(".")
