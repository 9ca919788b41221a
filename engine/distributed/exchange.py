"""The folder in which the launcher of a run, its agent and its ranks meet, for one attempt."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.machine.disk import write_atomic
from engine.protocol import RunFailed, RunFinished, RunStopped
from engine.rundir import StopAsked
from engine.rundir.lock import held

_FAILURES: Final = "failed-*.json"
_SECRET_BYTES: Final = 32


class Failure(msgspec.Struct, frozen=True):
    """How a rank ended by an error, and when (Unix s).

    ``is_echo``: all that went wrong there is that another rank no longer answered.
    """

    time: float
    is_echo: bool
    event: RunFailed


@dataclass(frozen=True)
class Exchange:
    """The files of one attempt in a folder that nobody but its owner can enter.

    ``secret`` is what the ranks know one another by, and in ``store`` they tell one another where
    they listen. ``stop.json`` asks the first rank to save and stop, ``ended.json`` is the last word
    of a run that did not fail, and ``failed-WHO.json`` of a rank that did.
    """

    folder: Path

    @property
    def store(self) -> Path:
        """Return the path of the file in which the ranks find one another."""
        return self.folder / "store"

    def clear(self) -> None:
        """Make the folder, without what an earlier attempt left in it, and a new secret.

        Raises:
            OSError: when it cannot be written, or is somebody else's.
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
        """Return what only processes of the run's owner can read.

        Raises:
            OSError: when it cannot be read, or others could have read or placed it.
        """
        self._check_private()
        with open(os.open(self._secret, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read()

    @property
    def _secret(self) -> Path:
        return self.folder / "secret"

    def _check_private(self) -> None:
        """Refuse a folder that others can enter, or made.

        Raises:
            PermissionError: naming it.
        """
        status = self.folder.lstat()
        is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not is_own or stat.S_IMODE(status.st_mode) & 0o077:
            problem = "the folder in which the ranks of a run meet must be its owner's alone (0700)"
            raise PermissionError(errno.EPERM, problem, str(self.folder))

    def ask_to_stop(self, reason: str) -> None:
        """Ask the ranks to save and stop."""
        write_atomic(self.folder / "stop.json", msgspec.json.encode(StopAsked(reason)))

    def read_stop(self) -> str | None:
        """Return why to stop, if asked."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            data = (self.folder / "stop.json").read_bytes()
            return msgspec.json.decode(data, type=StopAsked).reason
        return None

    def tell_end(self, event: RunFinished | RunStopped) -> None:
        """Tell how the run ended."""
        write_atomic(self.folder / "ended.json", msgspec.json.encode(event))

    def tell_failure(self, who: str, event: RunFailed, *, is_echo: bool = False) -> None:
        """Tell how a rank, or an agent, failed."""
        failure = Failure(time.time(), is_echo, event)
        write_atomic(self.folder / f"failed-{who}.json", msgspec.json.encode(failure))

    def has_told(self, who: str) -> bool:
        """Say whether a rank has told how it failed."""
        return (self.folder / f"failed-{who}.json").exists()

    def read_end(self) -> RunFinished | RunStopped | RunFailed | None:
        """Return the last word: of several failures the first that is no echo of another."""
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


@contextlib.contextmanager
def writing(lock: Path) -> Iterator[None]:
    """Hold the lock of whoever writes a run's events and checkpoints on its launcher's behalf.

    It is let go of when this process is gone, which may be after its launcher is: see
    :func:`~engine.rundir.lock.wait_until_free`.

    Raises:
        BlockingIOError: when another process holds it.
    """
    with held(lock, patience_s=0):
        yield
