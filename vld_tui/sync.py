"""Bring run folders from a home elsewhere, by rsync."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vld_tui.home import Home

_NEVER: Final = ("*.tmp", "engine.lock", "cache/", "trash/")
"""Files that mean something only where they are."""

_VANISHED: Final = 24
"""rsync's exit code when files were gone before it came to them, as those of live runs may be."""


class SyncError(Exception):
    """Runs that cannot be brought here; the message says why and what to do."""


@dataclass(frozen=True)
class Fetched:
    """The runs that changed, by id, and how many studies did."""

    run_ids: tuple[str, ...]
    studies: int


def fetch_runs(home: Home, source: str, *, checkpoints: bool = False) -> Fetched:
    """Bring what is new or has changed; a file that was changed here since is kept.

    Args:
        home: where to.
        source: ``[USER@]HOST:HOME``, or a folder.
        checkpoints: bring them too.

    Raises:
        SyncError: when there is no rsync, no such home, or the way is barred.
    """
    source = source.rstrip("/")
    if not source or source.endswith(":"):
        raise SyncError(f"{source!r} names no home: give it as USER@HOST:HOME.")
    if ":" not in source and Path(source).expanduser().resolve() == home.path.resolve():
        raise SyncError(f"{source} is this home itself.")
    left_out = (*_NEVER, *(() if checkpoints else ("checkpoints/",)))
    names = _rsync(f"{source}/runs/", home.runs, left_out)
    run_ids = sorted({name.partition("/")[0] for name in names if "/" in name.strip("/")})
    for run_id in run_ids:
        home.run_dir(run_id).mark_synced()
    studies = _rsync(f"{source}/studies/", home.studies, left_out, is_needed=False)
    return Fetched(tuple(run_ids), sum(name.endswith(".toml") for name in studies))


def _rsync(
    source: str, target: Path, left_out: tuple[str, ...], *, is_needed: bool = True
) -> list[str]:
    """Bring a folder's files, and return the names of those that changed.

    Raises:
        SyncError: when it cannot be done.
    """
    target.mkdir(parents=True, exist_ok=True)
    command = [
        "rsync", "--recursive", "--times", "--update", "--compress", "--out-format=%n",
        "--no-implied-dirs", *(f"--exclude={each}" for each in left_out), "--", source,
        f"{target}/",
    ]  # fmt: skip
    try:
        with tempfile.TemporaryFile("w+") as complaints:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=complaints, text=True,
                errors="surrogateescape", check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
            complaints.seek(0)
            said = complaints.read()
    except FileNotFoundError:
        raise SyncError("rsync is not found: install it, here and there.") from None
    if done.returncode == 0:
        return done.stdout.splitlines()
    if "No such file or directory" in said:
        if not is_needed:
            return []
        raise SyncError(f"There is no home at {source.removesuffix('/runs/')}: it has no runs/.")
    if done.returncode == _VANISHED:
        return done.stdout.splitlines()
    lines = [line for line in said.splitlines() if line.strip()]
    raise SyncError(
        f"rsync could not bring {source}: {lines[0] if lines else f'exit code {done.returncode}'}"
    )
