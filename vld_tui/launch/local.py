"""Start, stop and query engine processes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol, TypeVar

import msgspec
import psutil

import engine
from engine.protocol import UserError
from engine.rundir import ExitInfo, ProcessInfo, RunDir, plain_file
from engine.rundir.life import is_alive
from engine.rundir.lock import held
from engine.rundir.process import killed_for_memory

ENGINE_COMMAND: Final = (sys.executable, "-P", "-X", "faulthandler", "-m", "engine")
"""``-P``: do not import a folder named ``engine`` from the current directory.
``-X faulthandler``: write a traceback to the log on a crash in native code."""
EXIT_PATIENCE_S: Final = 15.0
"""How long a process may take to end after its last event."""
_POLL_INTERVAL_S: Final = 0.05
ANSWER_TIMEOUT_S: Final = 120.0
PASSIVE_WAITING: Final = {"OMP_WAIT_POLICY": "PASSIVE"}
"""As runs have it, so that measured times are theirs; torch reads it when it loads."""
EngineQuery = subprocess.Popen[bytes]


class EngineProcess(Protocol):
    """A child process, as of ``subprocess.Popen``."""

    pid: int

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code, negative for a signal."""

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""


Process = TypeVar("Process", bound=EngineProcess)


class LaunchError(UserError):
    """A process that cannot be started or reached; the message gives the reason."""


def launch(
    run_dir: RunDir,
    command: Sequence[str] = ENGINE_COMMAND,
    *,
    patience_s: float = 0.0,
    gpu: str | None = None,
    cancels_stop: bool = True,
    gpus: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command RUN_DIR`` in its own session, so that it outlives the terminal.

    ``patience_s``: how long an earlier process that has written its last event may take to end.
    ``gpu``: the visible GPUs, as in ``CUDA_VISIBLE_DEVICES``; None: as for this process.
    ``gpus``: the number of GPUs to resume on; None: as in the spec.
    ``cancels_stop``: withdraw an earlier request to stop.

    Its output is appended to the run's log, and the process is recorded in the run folder before
    this returns. Of several concurrent launches, only one starts the process.

    Raises:
        LaunchError: when the process cannot be started, or another one has the run.
    """
    words = [
        *command,
        str(run_dir.path.absolute()),
        *(["--gpus", str(gpus)] if gpus else []),
    ]
    start = partial(start_process, words, run_environment(gpu))
    return launch_by(start, run_dir, patience_s=patience_s, cancels_stop=cancels_stop)


def launch_by(
    start: Callable[[IO[bytes]], Process], run_dir: RunDir, *, patience_s: float, cancels_stop: bool
) -> Process:
    """Start a run's process by ``start``, which gets the run's log; see :func:`launch`.

    Raises:
        LaunchError: when the process cannot be started, or another one has the run.
    """
    refuse_copy(run_dir)
    await_exit(run_dir, patience_s)
    try:
        with held(run_dir.log):  # against other launches
            _refuse_if_alive(run_dir)
            if cancels_stop:
                run_dir.cancel_stop()
            with open(run_dir.log, "ab", opener=plain_file) as log:
                process = start(log)
            _record(process, run_dir)
    except OSError as error:
        raise LaunchError(f"Cannot start run {run_dir.run_id}: {error}.") from None
    return process


def start_process(
    words: Sequence[str], environment: Mapping[str, str] | None, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, with its output in a log."""
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
    )


def refuse_copy(run_dir: RunDir) -> None:
    """Check that a run's folder is not a read-only copy.

    Raises:
        LaunchError: when it is.
    """
    if run_dir.is_copy:
        raise LaunchError(
            f"Run {run_dir.run_id} is a read-only copy of a run on another machine; start or stop "
            "it there."
        )


def await_exit(run_dir: RunDir, patience_s: float) -> bool:
    """Wait until the run's process has ended; return False on a timeout."""
    deadline = time.monotonic() + patience_s
    while (process := run_dir.read_process()) is not None and is_alive(run_dir, process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_INTERVAL_S)
    return True


def wait_and_record(process: EngineProcess, run_dir: RunDir) -> int:
    """Wait for the process to end, record its exit code in the run folder, and return it."""
    recorded = run_dir.read_process()  # now: later it may be another process's
    birth = recorded.birth if recorded is not None and recorded.pid == process.pid else None
    killed_before = killed_for_memory()
    exit_code = process.wait()
    killed = killed_for_memory()
    by_limit = None if killed is None or killed_before is None else killed > killed_before
    with contextlib.suppress(OSError):  # only needed for the details of a crash
        run_dir.write_exit(ExitInfo(exit_code, time.time(), process.pid, by_limit, birth))
    return exit_code


def record_end(process: EngineProcess, run_dir: RunDir) -> threading.Thread:
    """Have a thread wait for the process and record its exit code, while this program lives."""
    thread = threading.Thread(target=wait_and_record, args=(process, run_dir), daemon=True)
    thread.start()
    return thread


def stop(run_dir: RunDir, *, kill: bool = False, by: str = "vld stop --kill") -> bool:
    """Ask the run's process to save and stop, or with ``kill`` kill it and its children.

    A process on another host is asked through the run's folder. ``by``: what kills it, for the
    record.

    Returns:
        False when no process of the run is alive.

    Raises:
        LaunchError: when it would have to be killed on another host, belongs to another user, or
            its folder cannot be written or is a copy.
    """
    refuse_copy(run_dir)
    process = run_dir.read_process()
    if process is None:
        return False
    lives_here = process.is_alive()
    if lives_here is None:
        return is_alive(run_dir, process) and _stop_elsewhere(run_dir, process, kill=kill)
    if not lives_here:
        return False
    try:
        if kill:
            _kill(run_dir, process.pid, by)
        else:
            os.kill(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise LaunchError(
            f"Process {process.pid} of run {run_dir.run_id} belongs to another user."
        ) from None
    return True


def _kill(run_dir: RunDir, pid: int, by: str) -> None:
    """Kill a process and its children, and record in the run's folder that it was intended.

    Raises:
        ProcessLookupError: when it has ended.
        PermissionError: when it belongs to another user.
    """
    os.kill(pid, 0)  # may it be killed?
    with contextlib.suppress(OSError):  # then it is a crash, as of a full disk
        run_dir.record_kill(by)
    if os.getpgid(pid) == pid:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)


def ask_to_stop(run_dir: RunDir) -> None:
    """Ask a run through its folder to save and stop, and record the requesting host.

    Raises:
        OSError: when the folder cannot be written.
    """
    run_dir.ask_to_stop(f"asked from {socket.gethostname()}")


def _stop_elsewhere(run_dir: RunDir, process: ProcessInfo, *, kill: bool) -> bool:
    if kill:
        raise LaunchError(
            f"Run {run_dir.run_id} is on {process.host}: kill process {process.pid} there, or "
            "save and stop it from here, without --kill."
        )
    try:
        ask_to_stop(run_dir)
    except OSError as error:
        raise LaunchError(f"Cannot stop run {run_dir.run_id}: {error}.") from None
    return True


def engine_environment() -> dict[str, str] | None:
    """Return the environment in which ``python -P`` finds the engine; None: the current one."""
    root = Path(engine.__file__).resolve().parent.parent
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the directory was deleted
        return None
    if root != here:
        return None
    # Found through the current directory, which the process does not search.
    search_path = [str(root), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path))}


def run_environment(gpu: str | None) -> dict[str, str] | None:
    """Return a run's environment, see :func:`launch`; None: the current one."""
    environment = engine_environment()
    if gpu is None:
        return environment
    return {**(environment or os.environ), "CUDA_VISIBLE_DEVICES": gpu}


def _refuse_if_alive(run_dir: RunDir) -> None:
    process = run_dir.read_process()
    if process is not None and is_alive(run_dir, process):
        raise LaunchError(
            f"Run {run_dir.run_id} is already running as process {process.pid} on {process.host}."
        )


def _record(process: EngineProcess, run_dir: RunDir) -> None:
    """Write ``process.json``; kill the process if it cannot be recorded."""
    try:
        run_dir.write_process(process.pid)
    except psutil.Error:  # it has already ended: its exit code shows why
        return
    except OSError:
        process.kill()
        process.wait()
        raise


def ask_engine(
    subject: Literal["models", "sizes", "doctor", "weights", "features"],
    *arguments: str,
    on_start: Callable[[EngineQuery], None] | None = None,
) -> Any:
    """Return the decoded output of ``python -m engine.inspect SUBJECT …``; takes a few seconds.

    ``on_start`` receives the process, so that the caller can end it.

    Raises:
        LaunchError: when the engine cannot answer.
    """
    command = [sys.executable, "-P", "-m", "engine.inspect", subject, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**PASSIVE_WAITING, **(engine_environment() or os.environ)},
    ) as process:
        if on_start is not None:
            on_start(process)
        try:
            answer, log = process.communicate(timeout=ANSWER_TIMEOUT_S)
        except BaseException as error:
            process.kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise LaunchError(
                f"The engine did not answer within {ANSWER_TIMEOUT_S:.0f} s: {' '.join(command)}"
            ) from None
    if process.returncode != 0:
        lines = log.decode(errors="replace").strip().splitlines()
        raise LaunchError(
            f"The engine failed: {lines[-1] if lines else 'no reason given'}\n"
            f"To see why, run: {' '.join(command)}"
        )
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise LaunchError(
            f"The engine's answer is not JSON: {error}\nSee: {' '.join(command)}"
        ) from None
