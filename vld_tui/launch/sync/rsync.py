"""Run rsync, which brings the files of a folder elsewhere that are new or have changed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from engine.protocol import UserError

_BROUGHT: Final = ">"
"""Before each name that rsync says it brought."""
_PARTIAL: Final = 23
"""rsync's exit code when some could not be brought, or there is no such folder."""
_VANISHED: Final = 24
"""rsync's exit code when files were gone before it came to them, as those of live runs may be."""


class SyncError(UserError):
    """Runs that cannot be brought here; the message says why and what to do."""


class NoSuchFolder(SyncError):  # noqa: N818 - what it says, not that it is an error
    """The folder to bring files from does not exist."""


def check_source(source: str) -> str:
    """Return where a home is, as rsync takes it: ``[USER@]HOST:HOME``, or a folder.

    Raises:
        SyncError: when it names no home, or a host that ssh would take for an option.
    """
    source = source.rstrip("/")
    if not source or source.endswith(":"):
        raise SyncError(f"{source!r} is not a home: give it as USER@HOST:HOME.")
    place, separator, _ = source.partition(":")
    if separator and "/" not in place:
        user, _, host = place.rpartition("@")
        if not host or user.startswith("-") or host.startswith("-"):
            raise SyncError(f"{place!r} is not a host: give the home as USER@HOST:HOME.")
    return source


def is_folder(source: str) -> bool:
    """Say whether a source is a folder of this machine."""
    place, separator, _ = source.partition(":")
    return not separator or "/" in place


def named(name: str) -> str:
    """Return the pattern that matches this name alone."""
    if not any(letter in name for letter in "*?["):
        return name
    return "".join(f"\\{letter}" if letter in "\\*?[" else letter for letter in name)


def bring(
    source: str, target: Path, patterns: Sequence[str], on_name: Callable[[str], None]
) -> str | None:
    """Bring a folder's files; return why it broke off, if it did.

    Files are replaced whole, and those that are newer here are left as they are.

    Args:
        source: the folder, a slash at its end.
        target: where to; it is made.
        patterns: what to leave out, or with ``+`` before it to bring; the first that fits counts.
        on_name: told each name that changed, below ``target``.

    Raises:
        NoSuchFolder: when there is none there.
        SyncError: when there is no rsync.
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
        raise NoSuchFolder(f"There is no folder {source}.")
    lines = [line for line in said.splitlines() if line.strip()]
    return f"rsync could not bring all of {source}: {lines[0] if lines else _ending(code)}"


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"it was killed by signal {-code}"


def _run(command: Sequence[str], on_name: Callable[[str], None]) -> tuple[int, str]:
    """Run rsync, telling each name as it comes; return its exit code and its complaints.

    Raises:
        SyncError: when there is none.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, text=True,
                errors="surrogateescape", env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except FileNotFoundError:
            raise SyncError("rsync is not found: install it, here and there.") from None
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(_BROUGHT):
                    on_name(line.removeprefix(_BROUGHT).rstrip("\n"))
        complaints.seek(0)
        return process.returncode, complaints.read()
