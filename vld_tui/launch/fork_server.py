"""Runs that start without importing torch: processes forked from one that has imported it.

Importing torch and timm takes seconds of processor time, more than a short run. A forked run is as
any other: a child of this process, with its own session, log, exit code and memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Final

import msgspec

from engine.protocol import SpecError
from engine.protocol.fork import GO, PROCESS_ID, SERVER_READY, ForkRequest
from engine.rundir import RunDir
from vld_tui.launch.local import (
    ENGINE_COMMAND,
    EngineProcess,
    engine_environment,
    launch_by,
    run_environment,
    start_process,
)

SERVER_COMMAND: Final = (*ENGINE_COMMAND[:-1], "engine.fork_server")
ENGINE: Final = ENGINE_COMMAND[-1]
MODULES: Final = ("engine.run",)
IMPORT_TIMEOUT_S: Final = 300.0
ANSWER_TIMEOUT_S: Final = 60.0
_ROOM: Final = " " * 1024
"""For the command line of a run."""
_PR_SET_CHILD_SUBREAPER: Final = 36


class ForkedProcess:
    """A child process that was not started by ``subprocess``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._exit_code: int | None = None
        self._lock = threading.Lock()

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code, negative for a signal."""
        if self._exit_code is None:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:  # its id may belong to another process as soon as it is collected
            if self._exit_code is None:
                _, status = os.waitpid(self.pid, 0)
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        with self._lock:
            if self._exit_code is None:
                os.kill(self.pid, number)


class ForkServer:
    """Starts runs by forking a process that has imported the engine, once that is warmed up.

    Whatever cannot be forked is started as a new process. The server ends with this process.
    """

    def __init__(
        self, modules: Sequence[str] = MODULES, environment: Mapping[str, str] | None = None
    ) -> None:
        self._modules = modules
        self._environment = environment
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_usable = sys.platform == "linux"

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start the server unless it is running, which takes seconds.

        If it cannot be started, all runs start as new processes from then on.
        """
        with self._lock:
            if self._connection is not None or not self._is_usable:
                return
            try:
                self._start()
            except OSError as error:
                self._is_usable = False
                self._end(f"Runs start as new processes: the engine's fork server failed: {error}.")

    def launch(
        self,
        run_dir: RunDir,
        *,
        patience_s: float = 0.0,
        gpu: str | None = None,
        cancels_stop: bool = True,
    ) -> EngineProcess:
        """Start the engine on a run; see :func:`vld_tui.launch.local.launch`.

        Raises:
            LaunchError: when the process cannot be started, or another one has the run.
        """
        start = partial(self._start_engine, run_dir, run_environment(gpu))
        return launch_by(start, run_dir, patience_s=patience_s, cancels_stop=cancels_stop)

    def fork(self, request: ForkRequest, streams: Sequence[int]) -> int | None:
        """Return the id of a new child of this process, or None if none could be forked.

        ``streams``: descriptors of its standard input, output and error.
        """
        with self._lock:
            if self._connection is None:
                return None
            try:
                return _fork(self._connection, request, streams)
            except OSError as error:
                self._end(f"A run starts as a new process: it could not be forked: {error}.")
                return None

    def close(self) -> None:
        """End the server; the runs continue."""
        with self._lock:
            self._end()

    def _start_engine(
        self, run_dir: RunDir, environment: Mapping[str, str] | None, log: IO[bytes]
    ) -> EngineProcess:
        folder = str(run_dir.path.absolute())
        if not _has_several_ranks(run_dir):
            request = fork_request((ENGINE, folder), environment)
            with open(os.devnull, "rb") as nothing:
                streams = (nothing.fileno(), log.fileno(), log.fileno())
                pid = self.fork(request, streams)
            if pid is not None:
                return ForkedProcess(pid)
        return start_process((*ENGINE_COMMAND, folder), environment, log)

    def _start(self) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*SERVER_COMMAND, str(theirs.fileno()), *self._modules, _ROOM],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
                env=engine_environment() if self._environment is None else self._environment,
            )
        self._await_ready()

    def _await_ready(self) -> None:
        """Wait until the server has imported its modules.

        Raises:
            OSError: when it ends before, or takes too long.
        """
        assert self._connection is not None
        self._connection.settimeout(IMPORT_TIMEOUT_S)
        if self._connection.recv(len(SERVER_READY)) != SERVER_READY:
            raise ChildProcessError("it ended while it imported the engine")
        self._connection.settimeout(ANSWER_TIMEOUT_S)

    def _end(self, why: str = "") -> None:
        if why:
            print(why, file=sys.stderr, flush=True)  # noqa: T201 - into the log
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None


def fork_request(
    words: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    folder: str | None = None,
    is_leader: bool = True,
) -> ForkRequest:
    """Return the request for a process; ``environment`` None: the current one."""
    variables = os.environ if environment is None else environment
    return ForkRequest(
        words=tuple(map(os.fsencode, words)),
        environment={os.fsencode(name): os.fsencode(variables[name]) for name in variables},
        folder=folder,
        is_leader=is_leader,
    )


def _fork(connection: socket.socket, request: ForkRequest, streams: Sequence[int]) -> int:
    """Return the id of a new child of this process.

    Raises:
        OSError: when the server has ended, or the new process is no child of this one.
    """
    gate, theirs = socket.socketpair()
    with gate, _adopting_orphans():
        with theirs:
            message = msgspec.msgpack.encode(request)
            socket.send_fds(connection, [message], [*streams, theirs.fileno()])
        answer = connection.recv(PROCESS_ID.size)
        if len(answer) != PROCESS_ID.size:
            raise ChildProcessError("the server was killed, or files of the engine were changed")
        pid: int = PROCESS_ID.unpack(answer)[0]
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise ChildProcessError("the process ended immediately")
        gate.send(GO)
    return pid


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """During the block, be the parent of descendants whose own parent ends.

    Raises:
        OSError: when the system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _has_several_ranks(run_dir: RunDir) -> bool:
    try:
        return run_dir.read_spec().ranks > 1
    except (OSError, SpecError):  # the engine reports it
        return False
