"""Bring run folders and studies from another home.

A run that is new here comes into a folder that history does not look into, and gets its place
among the runs when it is whole: a sync that breaks off, at any point, leaves nothing that passes
for a run of this home, and the next one brings the rest.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from engine.rundir import RunDir
from vld_tui.home import Home
from vld_tui.launch.sync.rsync import NoSuchFolder, SyncError, bring, check_source, is_folder, named
from vld_tui.launch.sync.studies import FetchedStudies, fetch_studies

_NEVER: Final = (
    "*.tmp", ".tmp*", "engine.lock", "writer.lock", "synced", "labelled", "ranks/", ".lock",
)  # fmt: skip
"""Files that mean something only where they are."""
_INCOMING: Final = ".incoming"
"""Folder among the runs, hidden from history, of those that are not whole yet."""
_TEMPORARY: Final = re.compile(r"\..+\.[A-Za-z0-9]{6}")
"""Name of a file that an rsync had begun to write when it was killed."""


@dataclass(frozen=True)
class Fetched:
    """The runs that changed, by id, the studies, and why it broke off, if it did."""

    run_ids: tuple[str, ...]
    studies: FetchedStudies = field(default_factory=FetchedStudies)
    problem: str | None = None


class _Standing(NamedTuple):
    """The runs here, by id: copies of others', and those that nothing is brought of."""

    copies: list[str]
    closed: list[str]


def fetch_runs(
    home: Home, source: str, *, checkpoints: bool = False, overwrite: bool = False
) -> Fetched:
    """Bring what is new or has changed there.

    Runs that are this home's own are left as they are, and those in its trash stay there. What
    was changed here, labels of a run or a study, is kept unless it is to be overwritten.

    Args:
        home: where to.
        source: ``[USER@]HOST:HOME``, or a folder.
        checkpoints: bring them too.
        overwrite: replace labels and studies that were changed here by those there.

    Raises:
        SyncError: when there is no rsync, or no such home.
    """
    source = check_source(source)
    if is_folder(source) and Path(source).expanduser().resolve() == home.path.resolve():
        raise SyncError(f"{source} is this home itself.")
    left_out = [*_NEVER, *(() if checkpoints else ("checkpoints",))]
    standing = _standing(home)
    try:
        new, problem = _bring_new(home, source, left_out, standing)
        changed: set[str] = set()
        if standing.copies and problem is None:
            changed, problem = _bring_changed(home, source, left_out, standing, overwrite=overwrite)
    except NoSuchFolder:
        raise SyncError(f"There is no home at {source}: it has no runs/.") from None
    run_ids = tuple(sorted(new | changed))
    if problem is not None:
        return Fetched(run_ids, problem=problem)
    studies, problem = fetch_studies(home, source, overwrite=overwrite)
    return Fetched(run_ids, studies, problem)


def _standing(home: Home) -> _Standing:
    """Return which runs are copies, and which were made here or lie in the trash here.

    A folder without a specification is neither: a sync of an earlier version left it.
    """
    runs = [home.run_dir(name) for name in _folders(home.runs)]
    copies = [run.run_id for run in runs if run.is_copy]
    own = [run.run_id for run in runs if not run.is_copy and run.spec.exists()]
    thrown_away = _folders(home.trash) if home.trash.is_dir() else []
    return _Standing(sorted({*copies}.difference(thrown_away)), [*own, *thrown_away])


def _folders(parent: Path) -> list[str]:
    with os.scandir(parent) as entries:
        return [each.name for each in entries if each.is_dir() and not each.name.startswith(".")]


def _bring_new(
    home: Home, source: str, left_out: Sequence[str], standing: _Standing
) -> tuple[set[str], str | None]:
    """Bring the runs that are not here yet; return their ids, and why it broke off, if it did."""
    incoming = home.runs / _INCOMING
    here = [f"/{named(run_id)}/" for run_id in (*standing.copies, *standing.closed)]

    def mark(name: str) -> None:
        if run_id := _changed_run(name):
            (incoming / run_id).mkdir(exist_ok=True)
            RunDir(incoming / run_id).mark_synced()

    hidden = "/.*"  # such as what is not whole yet there
    problem = bring(f"{source}/runs/", incoming, [*left_out, hidden, *here], mark)
    arrived = {name for name in _folders(incoming) if RunDir(incoming / name).spec.is_file()}
    for name in sorted(arrived):
        _settle(incoming / name, home.run_dir(name), is_wanted=name not in standing.closed)
    _drop_empty(incoming)
    return arrived.difference(standing.closed), problem


def _bring_changed(
    home: Home, source: str, left_out: Sequence[str], standing: _Standing, *, overwrite: bool
) -> tuple[set[str], str | None]:
    """Bring what changed of the copies here; return their ids, and why it broke off, if it did."""
    labelled = [run_id for run_id in standing.copies if home.run_dir(run_id).labelled.exists()]
    if overwrite:
        for run_id in labelled:
            home.run_dir(run_id).discard_labels()
    kept = [] if overwrite else [f"/{named(run_id)}/user.json" for run_id in labelled]
    wanted = [f"+ /{named(run_id)}/" for run_id in standing.copies]
    changed: set[str] = set()

    def mark(name: str) -> None:
        run_id = _changed_run(name)
        if run_id and run_id not in changed:
            home.run_dir(run_id).mark_synced()
            changed.add(run_id)

    problem = bring(f"{source}/runs/", home.runs, [*left_out, *kept, *wanted, "/*"], mark)
    _drop_temporary(home.run_dir(run_id).path for run_id in changed)
    return changed, problem


def _changed_run(name: str) -> str:
    """Return the run whose file this is; empty for a folder, which changes when files here do."""
    run_id, in_folder, _ = name.partition("/")
    return run_id if in_folder and not name.endswith("/") else ""


def _settle(arrived: Path, run_dir: RunDir, *, is_wanted: bool) -> None:
    """Give a run that has come its place, unless it was removed here meanwhile."""
    _drop_temporary([arrived])
    if not RunDir(arrived).is_copy:
        RunDir(arrived).mark_synced()
    if is_wanted and not run_dir.path.exists():
        arrived.rename(run_dir.path)
        return
    if is_wanted and not run_dir.spec.exists():  # what an earlier version left
        names = sorted(os.listdir(arrived), key=lambda name: name == run_dir.spec.name)
        for name in ("synced", *(each for each in names if each != "synced")):
            if (run_dir.path / name).is_dir():
                shutil.rmtree(run_dir.path / name)
            (arrived / name).rename(run_dir.path / name)
    shutil.rmtree(arrived)


def _drop_temporary(folders: Iterable[Path]) -> None:
    """Delete what an rsync that was killed had begun to write."""
    for folder in folders:
        for path in folder.rglob(".*"):
            if _TEMPORARY.fullmatch(path.name) and path.suffix != ".tmp":
                path.unlink(missing_ok=True)


def _drop_empty(incoming: Path) -> None:
    """Remove the folder of what is not whole yet, where all is."""
    if not any(incoming.iterdir()):
        incoming.rmdir()
