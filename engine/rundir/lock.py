"""File locks that are released when their process ends.

They use ``flock``. On file systems without it (Lustre without ``-o flock``, some NFS and FUSE), a
lease file next to the locked file names the holder; another process may take it over when the
holder is dead, or on another machine, when the lease is no longer renewed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from engine.machine.disk import plain_file, read_plain
from engine.rundir.life import disk_time, every
from engine.rundir.process import ProcessInfo

LEASE_SUFFIX: Final = ".lease"
_NO_FLOCK: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_POLL_S: Final = 0.1
_RENEWED_S: Final = 5.0
_STALE_S: Final = 60.0
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


@contextlib.contextmanager
def held(path: Path, *, patience_s: float | None = None) -> Iterator[int]:
    """Hold the lock of a folder or a file, created if needed, during the block.

    ``patience_s``: how long to wait for another holder; None: without limit. Yields the descriptor
    of the locked file.

    Raises:
        BlockingIOError: if another process still holds it after ``patience_s``.
        OSError: if the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY) if path.is_dir() else plain_file(path, _FLAGS)
    try:
        if _flock(descriptor, patience_s):
            yield descriptor
        else:
            with _leased(_lease_of(path), patience_s):
                yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock of a file, without writing anything."""
    try:
        with open(path, "rb", opener=plain_file) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in _NO_FLOCK and _is_valid(_lease_of(path))
    return False


def wait_until_free(path: Path) -> None:
    """Wait until no process holds the lock of a file; a missing file is free.

    Raises:
        OSError: if it cannot be opened.
    """
    try:
        with open(path, "rb", opener=plain_file) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        while _is_valid(_lease_of(path)):
            time.sleep(_POLL_S)


def _flock(descriptor: int, patience_s: float | None) -> bool:
    """Acquire the kernel's lock; return False if the file system does not support it.

    Raises:
        BlockingIOError: if another process still holds it after ``patience_s``.
    """
    try:
        if patience_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _retry(partial(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB), patience_s)
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return False
        raise
    return True


def _retry(attempt: Callable[[], object], patience_s: float | None) -> None:
    """Retry until the lock is free.

    Raises:
        BlockingIOError: if another process still holds it after ``patience_s``.
    """
    deadline = None if patience_s is None else time.monotonic() + patience_s
    while True:
        try:
            attempt()
        except BlockingIOError:
            if deadline is not None and time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _lease_of(path: Path) -> Path:
    return path.with_name(path.name + LEASE_SUFFIX)


@contextlib.contextmanager
def _leased(lease: Path, patience_s: float | None) -> Iterator[None]:
    _retry(partial(_take, lease), patience_s)
    try:
        with every(_RENEWED_S, partial(_renew, lease), "lease"):
            yield
    finally:
        lease.unlink(missing_ok=True)


def _take(lease: Path) -> None:
    """Create the lease file of this process.

    Raises:
        BlockingIOError: if another process, not known to be dead, holds the lease.
    """
    if not _is_valid(lease):
        with contextlib.suppress(FileNotFoundError):  # only one process can rename it
            taken = lease.with_name(f"{lease.name}.{uuid.uuid4().hex[:8]}.stale")
            lease.rename(taken)
            taken.unlink()
    try:
        descriptor = os.open(lease, _FLAGS | os.O_EXCL, 0o644)
    except FileExistsError as error:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(lease)) from error
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(ProcessInfo.of(os.getpid())))


def _renew(lease: Path) -> None:
    with contextlib.suppress(OSError):
        lease.touch()


def _is_valid(lease: Path) -> bool:
    """Return whether a lease's holder may be alive; on other machines, if it is still renewed."""
    try:
        touched, content = lease.stat().st_mtime, read_plain(lease)
    except FileNotFoundError:
        return False
    try:
        is_alive = msgspec.json.decode(content, type=ProcessInfo).is_alive()
    except msgspec.DecodeError:  # being written, or damaged by a power cut
        is_alive = None
    if is_alive is not None:
        return is_alive
    return disk_time(lease.parent) - touched < _STALE_S
