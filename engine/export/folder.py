"""The folder of an export: complete or absent, and replaced only if an export wrote all of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import InputError
from engine.machine.disk import disk_trouble, sync_folder
from engine.protocol.export import ExportedFile, Target, Verification
from engine.protocol.inference import At
from engine.text import listed

MANIFEST: Final = "export.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported, by what versions, and the SHA-256 of each file."""

    run: str
    arm: str
    at: At
    to: Target
    temperature: float
    verification: Verification
    versions: dict[str, str]
    files: dict[str, str] = {}


def check_destination(destination: Path, *, replaces: bool) -> None:
    """Check that a folder can be created.

    Raises:
        InputError: if it exists, unless it is empty, or it is an unchanged export and ``replaces``.
    """
    if not os.path.lexists(destination):
        return
    if not destination.is_dir():
        raise InputError(f"{destination} exists and is not a folder. Choose another name.")
    if Path.cwd().is_relative_to(destination):
        raise InputError(
            f"{destination} is the current folder or contains it. Choose another folder."
        )
    names = {path.name for path in destination.iterdir()}
    if not names:
        return
    if not replaces:
        raise InputError(
            f"{destination} exists. Choose another folder, or replace an earlier export with "
            "--force."
        )
    if (reason := _not_an_export(destination, names)) is not None:
        raise InputError(
            f"--force replaces earlier exports only, but {destination} {reason}. Choose another "
            "folder."
        )


def _not_an_export(folder: Path, names: set[str]) -> str | None:
    """Return why a folder is not an unchanged export, or None if it is."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return f"has no {MANIFEST}"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"has a damaged {MANIFEST}"
    if others := sorted(names - {MANIFEST, *manifest.files}):
        return f"also contains {listed(others, most=3)}"
    changed = [
        name
        for name in sorted(names - {MANIFEST})
        if not (folder / name).is_file() or _digest(folder / name) != manifest.files[name]
    ]
    return f"has files that were changed later: {listed(changed, most=3)}" if changed else None


@contextlib.contextmanager
def new_folder(destination: Path, *, replaces: bool) -> Iterator[Path]:
    """Yield an empty folder next to ``destination``, which it becomes at the end of the block.

    After an exception, or Ctrl-C, nothing remains.

    Raises:
        InputError: if it cannot be written, or :func:`check_destination` raises it.
    """
    temporary = _next_to(destination, "new")
    created = [each for each in destination.parents if not each.exists()]
    try:
        check_destination(destination, replaces=replaces)
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        check_destination(destination, replaces=replaces)  # it may have been changed meanwhile
        _move(temporary, destination)
    except BaseException as error:
        message = _cannot_write(destination, error) if isinstance(error, OSError) else None
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in created:
            with contextlib.suppress(OSError):  # others use it
                parent.rmdir()
        if message is not None:
            raise InputError(message) from None
        raise
    sync_folder(destination.parent)


def _move(temporary: Path, destination: Path) -> None:
    """Rename a folder, and delete the one that it replaces."""
    if not destination.exists() or not any(destination.iterdir()):
        temporary.replace(destination)
        return
    old = _next_to(destination, "old")
    destination.rename(old)
    try:
        temporary.rename(destination)
    except BaseException:
        old.rename(destination)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _next_to(destination: Path, what: str) -> Path:
    return destination.with_name(f".{destination.name}.{os.getpid()}.{what}")


def _cannot_write(destination: Path, error: OSError) -> str:
    place = next(each for each in destination.parents if each.exists())
    trouble = disk_trouble(error, place)
    if trouble is not None:
        return f"Nothing was exported. {trouble} Choose another folder, or free space."
    return f"Cannot write {destination}: {error.strerror or error}. Choose another folder."


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the description of an export, with the digests of its files.

    Raises:
        OSError: if it cannot be written.
    """
    files = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    encoded = msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
    (folder / MANIFEST).write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")


def files_in(folder: Path) -> tuple[ExportedFile, ...]:
    """Return the files of an export and their sizes."""
    return tuple(ExportedFile(path.name, path.stat().st_size) for path in sorted(folder.iterdir()))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
