"""The engine in a process of its own that need not import torch first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import MappingProxyType
from typing import Final

from engine.__main__ import main
from engine.rundir import RunDir

START_METHOD: Final = "forkserver"
"""One process of each worker imports torch, in 6 s of a processor, and forks the others."""
_CONTEXT: ForkServerContext = multiprocessing.get_context(START_METHOD)
_CONTEXT.set_forkserver_preload(["engine.run"])


class WarmEngine:
    """A process that does what ``python -m engine RUN_DIR …`` does, used as ``Popen`` is."""

    def __init__(self, run_dir: RunDir, *arguments: str, environment: Mapping[str, str]) -> None:
        self._process: ForkServerProcess = _CONTEXT.Process(
            target=_do, args=(run_dir, arguments, dict(environment))
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code; a signal's number less than 0, None: it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code.

        Raises:
            TimeoutExpired: when it takes longer.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("engine", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


def start_engine(
    run_dir: RunDir, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> WarmEngine:
    """Start the real engine on a run folder, with further variables in its environment."""
    return WarmEngine(run_dir, *arguments, environment=environment)


def _do(run_dir: RunDir, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with run_dir.log.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    sys.exit(main([str(run_dir.path), *arguments]))
