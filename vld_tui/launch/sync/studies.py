"""Bring the studies of another home, and never one in place of one's own without being asked."""

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
"""Ends the name of a study of theirs that differs from one's own."""
_PATTERNS: Final = ("+ /*.toml", "*")
_BASES: Final = ".synced.json"
"""File of the SHA-256 of each study as it was brought: one that is still so is not one's own."""


@dataclass(frozen=True)
class FetchedStudies:
    """File names of studies: those brought, those of one's own that were overwritten, and those
    that were kept, theirs written next to them."""

    brought: tuple[str, ...] = ()
    overwritten: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def fetch_studies(home: Home, source: str, *, overwrite: bool) -> tuple[FetchedStudies, str | None]:
    """Bring the studies that are new or have changed; return why it broke off too, if it did.

    Raises:
        SyncError: when there is no rsync.
    """
    with tempfile.TemporaryDirectory(dir=home.cache, prefix="studies-") as folder:
        problem = None
        with contextlib.suppress(NoSuchFolder):  # there may be none there
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
    """Take one study of theirs; return what that was, None: nothing has changed."""
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
    """What each study was when it was brought."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: dict[str, str] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._digests = msgspec.json.decode(path.read_bytes(), type=dict[str, str])

    def holds(self, name: str, text: bytes) -> bool:
        """Say whether a study still is as it was brought."""
        return self._digests.get(name) == _digest(text)

    def put(self, name: str, text: bytes) -> None:
        """Note a study as it is brought."""
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
    """Write a study, of the time of the one it is a copy of."""
    write_atomic(path, text)
    status = like.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
