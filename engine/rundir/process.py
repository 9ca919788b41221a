"""Processes, told apart from others that have the same pid at another time."""

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
"""Place of the start time in ``/proc/PID/stat``, after the name in brackets."""


class ProcessInfo(msgspec.Struct, frozen=True):
    """A process of a host.

    ``started_at`` (Unix s) tells it from later ones with the same pid, but follows the clock of
    the machine when that is set; ``birth`` does not (boot, and ticks since; None: not known here).
    """

    pid: int
    started_at: float
    host: str
    birth: str | None = None

    @classmethod
    def of(cls, pid: int) -> ProcessInfo:
        """Describe a live process of this host."""
        return cls(pid, psutil.Process(pid).create_time(), socket.gethostname(), _birth(pid))

    def is_alive(self) -> bool | None:
        """Say whether it still runs; None when it belongs to another host."""
        if self.host != socket.gethostname():
            return None
        try:
            return self._status() not in (None, psutil.STATUS_ZOMBIE)
        except psutil.AccessDenied:
            return True

    def is_suspended(self) -> bool:
        """Say whether it waits, on this host, until it is let go on (SIGSTOP, ctrl+z)."""
        if self.host != socket.gethostname():
            return False
        try:
            return self._status() == psutil.STATUS_STOPPED
        except psutil.AccessDenied:
            return False

    def _status(self) -> str | None:
        """Return psutil's word for what it does; None: it is gone.

        Raises:
            AccessDenied: when that cannot be known.
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

    ``pid`` and ``birth`` tell whose end it is, as of :class:`ProcessInfo`; None: not recorded.
    ``memory_limit``: meanwhile the system killed a process for the memory limit it runs under, as
    of a cluster's job; None: not known here.
    """

    exit_code: int
    ended_at: float
    pid: int | None = None
    memory_limit: bool | None = None
    birth: str | None = None

    def is_of(self, process: ProcessInfo) -> bool:
        """Say whether it is this process's end: pids come again, and soon in a container."""
        if self.pid != process.pid:
            return False
        return None in (self.birth, process.birth) or self.birth == process.birth


class KillAsked(msgspec.Struct, frozen=True):
    """That a user had the run's process ended at once: by what, and which process (see above)."""

    by: str
    pid: int
    birth: str | None = None

    def is_of(self, process: ProcessInfo) -> bool:
        """Say whether it is this process that was to end."""
        if self.pid != process.pid:
            return False
        return None in (self.birth, process.birth) or self.birth == process.birth


class JobInfo(msgspec.Struct, frozen=True):
    """The job of a cluster's scheduler that a run was given to last.

    ``job_id`` is what the scheduler calls it, ``log`` the file of what it says before any run of
    it does, ``settings`` what it was asked for. ``submitted_at`` is in Unix seconds. ``end``: how
    the job ended, as the scheduler says, when that was before any process took the run up.
    """

    job_id: str
    submitted_at: float
    log: str
    settings: dict[str, object] = {}
    end: str | None = None


class StopAsked(msgspec.Struct, frozen=True):
    """That the run shall save and stop, asked through its folder, and by what: a host, a signal."""

    reason: str


def _birth(pid: int) -> str | None:
    """Return what no other process has, whatever the clock is set to; None where unknown."""
    with contextlib.suppress(OSError, IndexError):
        stat = (_PROC / str(pid) / "stat").read_text()
        ticks = stat.rpartition(")")[2].split()[_START_TICKS]
        return f"{_BOOT_ID.read_text().strip()} {ticks}"
    return None


def killed_for_memory(of: Path = _OWN_CGROUP, root: Path = _CGROUP_ROOT) -> int | None:
    """Return how many processes the kernel has killed for the limit; None: it cannot be told.

    Read from the control groups, version 2 and 1 (Linux).
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
