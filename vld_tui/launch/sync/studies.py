"""Copy the studies of another home, without overwriting local changes unless asked to."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.rundir import write_atomic
from vld_tui.home import Home
from vld_tui.launch.sync.rsync import NoSuchFolder, bring

THEIRS: Final = ".theirs"
"""Suffix of the other version of a study that differs from the local one."""
_PATTERNS: Final = ("+ /*.toml", "*")
_BASES: Final = ".synced.json"
"""File of each study's SHA-256 when copied; a study that still has it was not changed here."""


@dataclass(frozen=True)
class FetchedStudies:
    """File names of studies: copied, overwritten, and kept with the other version next to them."""

    brought: tuple[str, ...] = ()
    overwritten: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def fetch_studies(home: Home, source: str, *, overwrite: bool) -> tuple[FetchedStudies, str | None]:
    """Copy new and changed studies; also return why the copy failed, if it did.

    Raises:
        SyncError: when rsync is missing.
    """
    with tempfile.TemporaryDirectory(dir=home.cache, prefix="studies-") as folder:
        problem = None
        with contextlib.suppress(NoSuchFolder):  # the source may have none
            problem = bring(f"{source}/studies/", Path(folder), _PATTERNS, lambda _name: None)
        theirs = sorted(Path(folder).glob("*.toml"))
        if not theirs:
            return FetchedStudies(), problem
        home.studies.mkdir(exist_ok=True)
        bases = _Bases(home.studies / _BASES)
        found: dict[str, list[str]] = {"brought": [], "overwritten": [], "kept": []}
        for path in theirs:
            if outcome := _take(path, home.studies / path.name, bases, overwrite=overwrite):
                found[outcome].append(path.name)
        return FetchedStudies(**{key: tuple(names) for key, names in found.items()}), problem


def _take(theirs: Path, ours: Path, bases: _Bases, *, overwrite: bool) -> str | None:
    """Copy one study; return what was done, or None if nothing has changed."""
    text = theirs.read_bytes()
    beside = ours.with_name(ours.name + THEIRS)
    known = _read(ours)
    is_own = known is not None and not bases.holds(ours.name, known)
    if known == text:
        bases.put(ours.name, text)
        beside.unlink(missing_ok=True)
        return None
    if is_own and not overwrite:
        if _read(beside) == text:
            return None
        _write(beside, text, theirs)
        return "kept"
    _write(ours, text, theirs)
    bases.put(ours.name, text)
    beside.unlink(missing_ok=True)
    return "overwritten" if is_own else "brought"


class _Bases:
    """The hash of each study when it was copied."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: dict[str, str] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._digests = msgspec.json.decode(path.read_bytes(), type=dict[str, str])

    def holds(self, name: str, text: bytes) -> bool:
        """Return whether a study is unchanged since it was copied."""
        return self._digests.get(name) == _digest(text)

    def put(self, name: str, text: bytes) -> None:
        """Record a copied study."""
        if not self.holds(name, text):
            self._digests[name] = _digest(text)
            write_atomic(self._path, msgspec.json.encode(self._digests))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, text: bytes, like: Path) -> None:
    """Write a study with the modification time of the original."""
    write_atomic(path, text)
    status = like.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
