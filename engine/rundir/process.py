"""Identification of processes, robust against reused pids, and records of their end."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Final

import msgspec
import psutil

_PROC: Final = Path("/proc")
_BOOT_ID: Final = _PROC / "sys/kernel/random/boot_id"
_OWN_CGROUP: Final = _PROC / "self/cgroup"
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_START_TICKS: Final = 19
"""Index of the start time in ``/proc/PID/stat``, after the name in parentheses."""


class ProcessInfo(msgspec.Struct, frozen=True):
    """A process of a host.

    ``started_at`` (Unix s) distinguishes it from later processes with the same pid, but changes
    when the machine's clock is set; ``birth`` (boot id and ticks since boot) does not. None:
    unknown.
    """

    pid: int
    started_at: float
    host: str
    birth: str | None = None

    @classmethod
    def of(cls, pid: int) -> ProcessInfo:
        """Describe a running process of this host."""
        return cls(pid, psutil.Process(pid).create_time(), socket.gethostname(), _birth(pid))

    def matches(self, pid: int | None, birth: str | None) -> bool:
        """Return whether a record is of this process; pids are reused, especially in containers."""
        return self.pid == pid and (None in (self.birth, birth) or self.birth == birth)

    def is_alive(self) -> bool | None:
        """Return whether it is running; None if it is on another host."""
        if self.host != socket.gethostname():
            return None
        try:
            return self._status() not in (None, psutil.STATUS_ZOMBIE)
        except psutil.AccessDenied:
            return True

    def is_suspended(self) -> bool:
        """Return whether it is suspended on this host (SIGSTOP, ctrl+z)."""
        if self.host != socket.gethostname():
            return False
        try:
            return self._status() == psutil.STATUS_STOPPED
        except psutil.AccessDenied:
            return False

    def _status(self) -> str | None:
        """Return psutil's status; None if it has ended.

        Raises:
            AccessDenied: if the status is not accessible.
        """
        try:
            process = psutil.Process(self.pid)
            return process.status() if self._is(process) else None
        except psutil.NoSuchProcess:
            return None

    def _is(self, process: psutil.Process) -> bool:
        born = _birth(self.pid)
        if self.birth is not None and born is not None:
            return self.birth == born
        return abs(process.create_time() - self.started_at) < 1.0


class ExitInfo(msgspec.Struct, frozen=True):
    """How an engine process ended: its exit code, negative for a signal.

    ``pid`` and ``birth`` identify the process, see :class:`ProcessInfo`; None: not recorded.
    ``memory_limit``: the kernel reports an out-of-memory kill in its cgroup in that time; None:
    unknown.
    """

    exit_code: int
    ended_at: float
    pid: int | None = None
    memory_limit: bool | None = None
    birth: str | None = None

    def is_of(self, process: ProcessInfo) -> bool:
        """Return whether it is this process's end."""
        return process.matches(self.pid, self.birth)


class KillRecord(msgspec.Struct, frozen=True):
    """Record of a user killing the run's process: by which means, and which process."""

    by: str
    pid: int
    birth: str | None = None

    def is_of(self, process: ProcessInfo) -> bool:
        """Return whether it concerns this process."""
        return process.matches(self.pid, self.birth)


class JobInfo(msgspec.Struct, frozen=True):
    """A run's last cluster job.

    ``job_id`` is the scheduler's id, ``log`` the job's log file, ``settings`` the requested
    resources. ``submitted_at`` is in Unix seconds. ``end`` is the scheduler's final state of a job
    that ended before the run started.
    """

    job_id: str
    submitted_at: float
    log: str
    settings: dict[str, object] = {}
    end: str | None = None


class StopRecord(msgspec.Struct, frozen=True):
    """A request to save and stop; ``reason`` is who or what asked (a host, a signal)."""

    reason: str


def _birth(pid: int) -> str | None:
    """Return a process's boot id and start ticks, independent of the clock; None if unknown."""
    with contextlib.suppress(OSError, IndexError):
        stat = (_PROC / str(pid) / "stat").read_text()
        ticks = stat.rpartition(")")[2].split()[_START_TICKS]
        return f"{_BOOT_ID.read_text().strip()} {ticks}"
    return None


def killed_for_memory(of: Path = _OWN_CGROUP, root: Path = _CGROUP_ROOT) -> int | None:
    """Return the number of out-of-memory kills in this process's cgroup; None if unknown.

    Supports cgroup versions 1 and 2 (Linux).
    """
    with contextlib.suppress(OSError, ValueError, KeyError):
        for line in of.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                return _oom_kills(root / path.lstrip("/") / "memory.events")
            if "memory" in controllers.split(","):
                return _oom_kills(root / "memory" / path.lstrip("/") / "memory.oom_control")
    return None


def _oom_kills(file: Path) -> int:
    pairs = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    return int(pairs["oom_kill"])
