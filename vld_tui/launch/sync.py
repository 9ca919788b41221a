"""Copy runs and studies from another home with rsync."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.protocol import UserError
from engine.rundir import RunDir, write_atomic
from vld_tui.home import Home, expanded
from vld_tui.launch.ssh import is_host

THEIRS: Final = ".theirs"
"""Suffix of the other version of a study that differs from the local one."""
_STUDY_SUFFIXES: Final = (".toml", ".tune.json")
"""Suffixes of a study's file, and of what ``vld tune`` keeps of one."""
_PATTERNS: Final = (*(f"+ /*{suffix}" for suffix in _STUDY_SUFFIXES), "*")
_BASES: Final = ".synced.json"
"""File of each study's SHA-256 when copied; a study that still has it was not changed here."""
_NEVER: Final = (
    "*.tmp", ".tmp*", "engine.lock", "writer.lock", "synced", "labelled", "ranks/", ".lock",
)  # fmt: skip
"""Files that are meaningful only on the original machine."""
_INCOMING: Final = ".incoming"
"""Hidden folder among the runs for incomplete copies."""
_TEMPORARY: Final = re.compile(r"\..+\.[A-Za-z0-9]{6}")
"""Name of a partial file left by a killed rsync."""
_BROUGHT: Final = ">"
"""Prefix of each copied name in rsync's output."""
_PARTIAL: Final = 23
"""rsync's exit code when files could not be copied, or the folder does not exist."""
_VANISHED: Final = 24
"""rsync's exit code when files vanished during the copy, as files of live runs may."""


class SyncError(UserError):
    """A sync that failed; the message gives the reason and what to do."""


class NoSuchFolder(SyncError):  # noqa: N818 - what it says, not that it is an error
    """The source folder does not exist."""


@dataclass(frozen=True)
class FetchedStudies:
    """File names of studies: copied, overwritten, and kept with the other version next to them."""

    brought: tuple[str, ...] = ()
    overwritten: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of studies that were copied or overwritten."""
        return len({_study_of(name) for name in (*self.brought, *self.overwritten)})


def _study_of(name: str) -> str:
    """Return the name of the study that a file belongs to."""
    for suffix in _STUDY_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def check_source(source: str) -> str:
    """Return a home's location for rsync: ``[USER@]HOST:HOME``, or a folder.

    Raises:
        SyncError: when it is not a home, or has a host that ssh would read as an option.
    """
    source = source.rstrip("/")
    if not source or source.endswith(":"):
        raise SyncError(f"{source!r} is not a home: use USER@HOST:HOME.")
    host_part, separator, _ = source.partition(":")
    if separator and "/" not in host_part and not is_host(host_part):
        raise SyncError(f"{host_part!r} is not a host: use USER@HOST:HOME.")
    return source


def is_folder(source: str) -> bool:
    """Return whether a source is a folder of this machine."""
    host_part, separator, _ = source.partition(":")
    return not separator or "/" in host_part


def fetch_studies(home: Home, source: str, *, overwrite: bool) -> tuple[FetchedStudies, str | None]:
    """Copy new and changed studies; also return why the copy failed, if it did.

    Raises:
        SyncError: when rsync is missing.
    """
    with tempfile.TemporaryDirectory(dir=home.cache, prefix="studies-") as folder:
        problem = None
        with contextlib.suppress(NoSuchFolder):  # the source may have none
            problem = _bring(f"{source}/studies/", Path(folder), _PATTERNS, lambda _name: None)
        theirs = sorted(
            path for suffix in _STUDY_SUFFIXES for path in Path(folder).glob(f"*{suffix}")
        )
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


@dataclass(frozen=True)
class Fetched:
    """Ids of the changed runs, the studies, and why the copy failed, if it did."""

    run_ids: tuple[str, ...]
    studies: FetchedStudies = field(default_factory=FetchedStudies)
    problem: str | None = None


class _Here(NamedTuple):
    """Ids of the runs here: copies, and runs that are not synced."""

    copies: list[str]
    closed: list[str]


def fetch_runs(
    home: Home, source: str, *, checkpoints: bool = False, overwrite: bool = False
) -> Fetched:
    """Copy what is new or has changed in the source.

    This home's own runs are not changed, and trashed copies stay in the trash. Labels and studies
    that were changed here are kept unless ``overwrite`` is set.

    Args:
        home: destination.
        source: ``[USER@]HOST:HOME``, or a folder.
        checkpoints: also copy checkpoints.
        overwrite: replace labels and studies that were changed here.

    Raises:
        SyncError: when rsync or the source home is missing.
    """
    source = check_source(source)
    if is_folder(source) and expanded(source).resolve() == home.path.resolve():
        raise SyncError(f"{source} is this home; sync copies from another one.")
    left_out = [*_NEVER, *(() if checkpoints else ("checkpoints",))]
    here = _runs_here(home)
    try:
        new, problem = _bring_new(home, source, left_out, here)
        changed: set[str] = set()
        if here.copies and problem is None:
            changed, problem = _bring_changed(home, source, left_out, here, overwrite=overwrite)
    except NoSuchFolder:
        raise SyncError(f"{source} is not a home: it has no runs/ folder.") from None
    run_ids = tuple(sorted(new | changed))
    if problem is not None:
        return Fetched(run_ids, problem=problem)
    studies, problem = fetch_studies(home, source, overwrite=overwrite)
    return Fetched(run_ids, studies, problem)


def _runs_here(home: Home) -> _Here:
    """Return which runs are copies, and which are this home's own or in its trash.

    A folder without a specification, left by a sync of an earlier version, is neither.
    """
    runs = [home.run_dir(name) for name in _folders(home.runs)]
    copies = [run.run_id for run in runs if run.is_copy]
    own = [run.run_id for run in runs if not run.is_copy and run.spec.exists()]
    thrown_away = _folders(home.trash) if home.trash.is_dir() else []
    return _Here(sorted({*copies}.difference(thrown_away)), [*own, *thrown_away])


def _folders(parent: Path) -> list[str]:
    with os.scandir(parent) as entries:
        return [each.name for each in entries if each.is_dir() and not each.name.startswith(".")]


def _bring_new(
    home: Home, source: str, left_out: Sequence[str], here: _Here
) -> tuple[set[str], str | None]:
    """Copy the runs that are missing here; return their ids, and why the copy failed, if it did."""
    incoming = home.runs / _INCOMING
    known = [f"/{_exactly(run_id)}/" for run_id in (*here.copies, *here.closed)]

    def mark(name: str) -> None:
        if run_id := _changed_run(name):
            (incoming / run_id).mkdir(exist_ok=True)
            RunDir(incoming / run_id).mark_synced()

    hidden = "/.*"  # such as incomplete copies there
    problem = _bring(f"{source}/runs/", incoming, [*left_out, hidden, *known], mark)
    arrived = {name for name in _folders(incoming) if RunDir(incoming / name).spec.is_file()}
    for name in sorted(arrived):
        _settle(incoming / name, home.run_dir(name), is_wanted=name not in here.closed)
    _drop_empty(incoming)
    return arrived.difference(here.closed), problem


def _bring_changed(
    home: Home, source: str, left_out: Sequence[str], here: _Here, *, overwrite: bool
) -> tuple[set[str], str | None]:
    """Update the copies here; return their ids, and why the copy failed, if it did."""
    labelled = [run_id for run_id in here.copies if home.run_dir(run_id).labelled.exists()]
    if overwrite:
        for run_id in labelled:
            home.run_dir(run_id).discard_labels()
    kept = [] if overwrite else [f"/{_exactly(run_id)}/user.json" for run_id in labelled]
    wanted = [f"+ /{_exactly(run_id)}/" for run_id in here.copies]
    changed: set[str] = set()

    def mark(name: str) -> None:
        run_id = _changed_run(name)
        if run_id and run_id not in changed:
            home.run_dir(run_id).mark_synced()
            changed.add(run_id)

    problem = _bring(f"{source}/runs/", home.runs, [*left_out, *kept, *wanted, "/*"], mark)
    _drop_temporary(home.run_dir(run_id).path for run_id in changed)
    return changed, problem


def _changed_run(name: str) -> str:
    """Return the run of a file; empty for a folder, whose time also changes with local files."""
    run_id, in_folder, _ = name.partition("/")
    return run_id if in_folder and not name.endswith("/") else ""


def _settle(arrived: Path, run_dir: RunDir, *, is_wanted: bool) -> None:
    """Move a complete copy to the runs, unless it was removed here in the meantime."""
    _drop_temporary([arrived])
    if not RunDir(arrived).is_copy:
        RunDir(arrived).mark_synced()
    if is_wanted and not run_dir.path.exists():
        arrived.rename(run_dir.path)
        return
    if is_wanted and not run_dir.spec.exists():  # left by an earlier version
        names = sorted(os.listdir(arrived), key=lambda name: name == run_dir.spec.name)
        for name in ("synced", *(each for each in names if each != "synced")):
            if (run_dir.path / name).is_dir():
                shutil.rmtree(run_dir.path / name)
            (arrived / name).rename(run_dir.path / name)
    shutil.rmtree(arrived)


def _drop_temporary(folders: Iterable[Path]) -> None:
    """Delete partial files of a killed rsync."""
    for folder in folders:
        for path in folder.rglob(".*"):
            if _TEMPORARY.fullmatch(path.name) and path.suffix != ".tmp":
                path.unlink(missing_ok=True)


def _drop_empty(incoming: Path) -> None:
    """Remove the folder of incomplete copies if it is empty."""
    if not any(incoming.iterdir()):
        incoming.rmdir()


def _exactly(name: str) -> str:
    """Return the pattern that matches only this name."""
    if not any(letter in name for letter in "*?["):
        return name
    return "".join(f"\\{letter}" if letter in "\\*?[" else letter for letter in name)


def _bring(
    source: str, target: Path, patterns: Sequence[str], on_name: Callable[[str], None]
) -> str | None:
    """Copy a folder's files; return why the copy failed, if it did.

    Files are replaced whole, and files that are newer here are kept.

    Args:
        source: the folder, with a trailing slash.
        target: the destination, created if missing.
        patterns: what to exclude, or with ``+`` to include; the first match counts.
        on_name: called with each changed name, relative to ``target``.

    Raises:
        NoSuchFolder: when the source does not exist.
        SyncError: when rsync is missing.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", errors="surrogateescape") as listed:
        listed.write("".join(f"{each}\n" for each in patterns))
        listed.flush()
        command = [
            "rsync", "--recursive", "--times", "--update", "--compress",
            f"--out-format={_BROUGHT}%n", f"--exclude-from={listed.name}", "--", source,
            f"{target}/",
        ]  # fmt: skip
        code, said = _run_rsync(command, on_name)
    if code in (0, _VANISHED):
        return None
    if "No such file or directory" in said and code == _PARTIAL:
        raise NoSuchFolder(f"{source} does not exist.")
    lines = [line for line in said.splitlines() if line.strip()]
    return f"rsync could not copy all of {source}: {lines[0] if lines else _ending(code)}"


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def _run_rsync(command: Sequence[str], on_name: Callable[[str], None]) -> tuple[int, str]:
    """Run rsync, reporting each name; return its exit code and its errors.

    Raises:
        SyncError: when rsync is missing.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, text=True,
                errors="surrogateescape", env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except FileNotFoundError:
            raise SyncError("rsync not found. Install it on both machines.") from None
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(_BROUGHT):
                    on_name(line.removeprefix(_BROUGHT).rstrip("\n"))
        complaints.seek(0)
        return process.returncode, complaints.read()
