"""Run rsync, which copies new and changed files of another folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from engine.protocol import UserError

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


def check_source(source: str) -> str:
    """Return a home's location for rsync: ``[USER@]HOST:HOME``, or a folder.

    Raises:
        SyncError: when it is not a home, or has a host that ssh would read as an option.
    """
    source = source.rstrip("/")
    if not source or source.endswith(":"):
        raise SyncError(f"{source!r} is not a home: use USER@HOST:HOME.")
    place, separator, _ = source.partition(":")
    if separator and "/" not in place:
        user, _, host = place.rpartition("@")
        if not host or user.startswith("-") or host.startswith("-"):
            raise SyncError(f"{place!r} is not a host: use USER@HOST:HOME.")
    return source


def is_folder(source: str) -> bool:
    """Return whether a source is a folder of this machine."""
    place, separator, _ = source.partition(":")
    return not separator or "/" in place


def named(name: str) -> str:
    """Return the pattern that matches only this name."""
    if not any(letter in name for letter in "*?["):
        return name
    return "".join(f"\\{letter}" if letter in "\\*?[" else letter for letter in name)


def bring(
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
        code, said = _run(command, on_name)
    if code in (0, _VANISHED):
        return None
    if "No such file or directory" in said and code == _PARTIAL:
        raise NoSuchFolder(f"{source} does not exist.")
    lines = [line for line in said.splitlines() if line.strip()]
    return f"rsync could not copy all of {source}: {lines[0] if lines else _ending(code)}"


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def _run(command: Sequence[str], on_name: Callable[[str], None]) -> tuple[int, str]:
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
