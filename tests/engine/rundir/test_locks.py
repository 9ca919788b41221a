"""Locks: the kernel's, and the leases that stand in for them where a file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from engine.rundir import ProcessInfo
from engine.rundir.lock import held, is_held, wait_until_free

REFUSALS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@pytest.fixture(params=[None, *REFUSALS], ids=lambda code: errno.errorcode.get(code, "flock"))
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what is locked, on a file system with ``flock`` and on some without."""
    if request.param is not None:

        def refuse(*_: object) -> None:
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", refuse)
    return tmp_path / "lock"


def test_only_one_holds_a_lock(path: Path) -> None:
    assert not is_held(path)
    with held(path):
        assert is_held(path)
        with pytest.raises(BlockingIOError), held(path, patience_s=0):
            pass
    assert not is_held(path)
    with held(path, patience_s=0):
        pass
    assert os.listdir(path.parent) == ["lock"]


def test_a_folder_is_locked_too(path: Path) -> None:
    path.mkdir()
    with held(path, patience_s=0), pytest.raises(BlockingIOError), held(path, patience_s=0):
        pass


def test_who_waits_gets_the_lock_when_it_is_free(path: Path) -> None:
    begun, ended = threading.Event(), []

    def hold() -> None:
        with held(path):
            begun.set()
            time.sleep(0.2)
            ended.append(time.monotonic())

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(5)
    wait_until_free(path)
    with held(path):
        assert ended
    thread.join()
    wait_until_free(path.with_name("missing"))


def test_other_errors_of_a_lock_are_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), held(tmp_path / "missing" / "lock"):
        pass


@pytest.fixture
def lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the lease of a file on a file system without ``flock``."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return tmp_path / "lock.lease"


def test_the_lease_of_a_dead_process_is_taken_over(lease: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lease.write_bytes(msgspec.json.encode(ProcessInfo.of(child.pid)))
    with pytest.raises(BlockingIOError), held(lease.with_name("lock"), patience_s=0):
        pass
    child.communicate(b"\n")
    with held(lease.with_name("lock"), patience_s=0):
        assert msgspec.json.decode(lease.read_bytes(), type=ProcessInfo).pid == os.getpid()


@pytest.mark.parametrize("content", ["elsewhere", "torn"])
def test_the_lease_of_another_machine_holds_while_it_is_renewed(lease: Path, content: str) -> None:
    owner = msgspec.structs.replace(ProcessInfo.of(os.getpid()), host=f"not-{socket.gethostname()}")
    lease.write_bytes(msgspec.json.encode(owner) if content == "elsewhere" else b"{")
    lock = lease.with_name("lock")
    lock.touch()
    assert is_held(lock)
    long_ago = time.time() - 61
    os.utime(lease, (long_ago, long_ago))
    assert not is_held(lock)
    with held(lock, patience_s=0):
        pass
