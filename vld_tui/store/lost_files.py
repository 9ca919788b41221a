"""Restore missing or damaged files of a run folder from the history."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.protocol import (
    FIELDS,
    Combination,
    CombinationSpec,
    RunTask,
    SpecError,
    decode_combination,
    encode_combination,
    encode_spec,
    task_of,
)
from engine.rundir import RunDir, UserData, read_plain, write_atomic
from vld_tui.runs.run import Run
from vld_tui.store.database import Database
from vld_tui.store.rows import read_runs
from vld_tui.store.specs import read_kept_spec


class Files(NamedTuple):
    """The contents of a run folder's small files."""

    task: RunTask
    user: UserData


def read_files(database: Database, run_dir: RunDir) -> Files:
    """Read a run's definition from its folder.

    A missing or damaged file is first restored from the history, if possible; a damaged one is
    kept under another name. A file written by a newer version is not changed.

    Raises:
        SpecError: when the specification is missing or damaged and cannot be restored.
        OSError: when the folder cannot be read.
    """
    row = database.row("SELECT combination IS NULL FROM runs WHERE run_id = ?", [run_dir.run_id])
    try:
        files = _read(run_dir)
        is_whole = files.user != UserData() and (
            isinstance(files.task, CombinationSpec) or row is None or row[0]
        )
        if row is None or is_whole:
            return files
    except (SpecError, OSError):
        if row is None:
            raise
    for run in read_runs(database, "run_id = ?", [run_dir.run_id]):
        with contextlib.suppress(OSError):  # reported where the files are read
            _put_back(run, run_dir)
    return _read(run_dir)


def _read(run_dir: RunDir) -> Files:
    task = task_of(read_kept_spec(run_dir), run_dir.read_combination())
    return Files(task, run_dir.read_user())


def _put_back(run: Run, run_dir: RunDir) -> None:
    if run.has_spec and not _is_of_newer_version(run_dir.spec):
        _write_if_lost(run_dir.spec, lambda: read_kept_spec(run_dir), encode_spec(run.spec))
        if run.combination is not None:
            content = encode_combination(run.combination)
            _write_if_lost(run_dir.combination, lambda: _needed_combination(run_dir), content)
    user = UserData(run.name, run.tags, run.note, run.created_at, run.trashed_at)
    _write_if_lost(run_dir.user, lambda: _needed_user(run_dir), msgspec.json.encode(user))


def _write_if_lost(path: Path, read: Callable[[], object], content: bytes) -> None:
    """Rewrite a file unless it can be read; keep an existing one under another name."""
    with contextlib.suppress(OSError, ValueError):  # decoding errors are ValueErrors
        read()
        return
    if os.path.lexists(path):
        path.rename(path.with_name(f"{path.name}.damaged-{time.strftime('%y%m%d-%H%M%S')}"))
    write_atomic(path, content)


def _needed_combination(run_dir: RunDir) -> Combination:
    return decode_combination(read_plain(run_dir.combination))


def _needed_user(run_dir: RunDir) -> UserData:
    return msgspec.json.decode(read_plain(run_dir.user), type=UserData)


def _is_of_newer_version(path: Path) -> bool:
    try:
        values = msgspec.json.decode(read_plain(path))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and not values.keys() <= FIELDS.keys()
