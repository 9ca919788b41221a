"""The folder shared by a run's launcher, agents and ranks during one attempt."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.machine.disk import write_atomic
from engine.protocol import RunFailed, RunFinished, RunStopped
from engine.rundir import StopRecord

_FAILURES: Final = "failed-*.json"
_SECRET_BYTES: Final = 32


class Failure(msgspec.Struct, frozen=True):
    """A rank's error and its time (Unix s).

    ``is_echo``: the error is only that another rank stopped responding.
    """

    time: float
    is_echo: bool
    event: RunFailed


@dataclass(frozen=True)
class Exchange:
    """The files of one attempt, in a folder that only its owner can access.

    ``secret`` authenticates the ranks, ``store`` contains their addresses. ``stop.json`` asks the
    first rank to save and stop. ``ended.json`` is the terminal event of a successful run,
    ``failed-WHO.json`` that of a failed rank.
    """

    folder: Path

    @property
    def store(self) -> Path:
        """Return the path of torch's ``FileStore``."""
        return self.folder / "store"

    def clear(self) -> None:
        """Create an empty folder with a new secret, replacing an earlier attempt's.

        Raises:
            OSError: if it cannot be written or belongs to another user.
        """
        self.remove()
        self.folder.mkdir(mode=0o700, parents=True)
        self._check_private()
        descriptor = os.open(self._secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))

    def remove(self) -> None:
        """Remove the folder."""
        if self.folder.is_symlink():
            self.folder.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def read_secret(self) -> bytes:
        """Return the secret.

        Raises:
            OSError: if it cannot be read, or other users can access the folder.
        """
        self._check_private()
        with open(os.open(self._secret, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read()

    @property
    def _secret(self) -> Path:
        return self.folder / "secret"

    def _check_private(self) -> None:
        """Check that only this user can access the folder.

        Raises:
            PermissionError: if not; names the folder.
        """
        status = self.folder.lstat()
        is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not is_own or stat.S_IMODE(status.st_mode) & 0o077:
            problem = "the ranks' folder must be accessible only to its owner (mode 0700)"
            raise PermissionError(errno.EPERM, problem, str(self.folder))

    def ask_to_stop(self, reason: str) -> None:
        """Ask the ranks to save and stop."""
        write_atomic(self.folder / "stop.json", msgspec.json.encode(StopRecord(reason)))

    def read_stop(self) -> str | None:
        """Return why to stop, if asked."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            data = (self.folder / "stop.json").read_bytes()
            return msgspec.json.decode(data, type=StopRecord).reason
        return None

    def write_end(self, event: RunFinished | RunStopped) -> None:
        """Record the run's terminal event."""
        write_atomic(self.folder / "ended.json", msgspec.json.encode(event))

    def write_failure(self, who: str, event: RunFailed, *, is_echo: bool = False) -> None:
        """Record the error of a rank or an agent."""
        failure = Failure(time.time(), is_echo, event)
        write_atomic(self.folder / f"failed-{who}.json", msgspec.json.encode(failure))

    def has_failure(self, who: str) -> bool:
        """Return whether a rank has recorded an error."""
        return (self.folder / f"failed-{who}.json").exists()

    def read_end(self) -> RunFinished | RunStopped | RunFailed | None:
        """Return the terminal event; of several failures, the first that is not an echo."""
        with contextlib.suppress(OSError):
            data = (self.folder / "ended.json").read_bytes()
            return msgspec.json.decode(data, type=RunFinished | RunStopped)
        failures = [
            msgspec.json.decode(path.read_bytes(), type=Failure)
            for path in self.folder.glob(_FAILURES)
        ]
        if not failures:
            return None
        return min(failures, key=lambda each: (each.is_echo, each.time)).event
