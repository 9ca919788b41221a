"""The work of a job on its node: its runs, from their folders alone.

submitit turns a :class:`Pack` into a job and requeues the job at its time limit. A job needs only
the disk with the run folders.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from engine.protocol import (
    PROTOCOL_VERSION,
    EventDecodeError,
    RunFinished,
    RunStopped,
    decode_event,
)
from engine.rundir import RunDir, plain_file
from engine.rundir.life import HEARTBEAT_STALE_S
from vld_tui.launch.fork_server import ForkServer
from vld_tui.launch.local import EngineProcess, LaunchError, await_exit, wait_and_record
from vld_tui.words.text import plain_text

POLL_S: Final = 0.2
VERSION: Final = f"{metadata.version('vld-tui')}, protocol {PROTOCOL_VERSION}"
_FINISHED: Final = "finished"
_SETTLED: Final = (0, 1, 2)
"""Engine exit codes after which a run is not resumed: finished, failed, refused."""
_LAST_WORD_BYTES: Final = 2**16
_PATIENCE: Final = 5
"""How often a job may be ended at the same step."""
_IN_VAIN: Final = (
    f"This job made no progress in {_PATIENCE} attempts: it reached its time limit or was "
    "preempted. Submit it again with a longer --time."
)


class Pack:
    """The runs of one job, executed one after another or concurrently.

    When the job starts again, interrupted runs resume from their checkpoints, unless they make no
    progress; runs that finished, failed or were stopped are skipped.
    """

    def __init__(
        self,
        folders: Sequence[str],
        at_once: int = 1,
        version: str = VERSION,
        settled: Sequence[str] = (),
        last_words: tuple[object, ...] = (),
        times_here: int = 0,
    ) -> None:
        self.folders = tuple(folders)
        self.at_once = at_once
        self.version = version
        self.settled = set(settled)
        self.last_words = last_words
        self.times_here = times_here
        self._engines: dict[str, EngineProcess] = {}
        self._server = ForkServer()
        self._is_ending = threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the picklable state, without the state of a running job."""
        settled = tuple(sorted(self.settled))
        return Pack, (
            self.folders, self.at_once, self.version, settled, self.last_words, self.times_here,
        )  # fmt: skip

    def __call__(self) -> None:
        """Execute the runs; on a signal, :meth:`checkpoint` takes over or the job ends."""
        todo = [RunDir(Path(folder)) for folder in self.folders if folder not in self.settled]
        if self.version != VERSION:
            _refuse(todo, _other_version(self.version))
        if self.times_here >= _PATIENCE:
            _refuse(todo, _IN_VAIN)
        signal.signal(signal.SIGTERM, self._end_all)
        waiting: queue.SimpleQueue[RunDir] = queue.SimpleQueue()
        for run_dir in todo:
            waiting.put(run_dir)
        workers = [
            threading.Thread(target=self._work, args=(waiting,), daemon=True)
            for _ in range(self.at_once)
        ]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            time.sleep(POLL_S)  # signals are handled in between
        self._server.close()
        while self._is_ending.is_set():  # until killed or requeued by the scheduler
            time.sleep(POLL_S)

    def checkpoint(self) -> Any:
        """Save and stop every run, and return the job that resumes them, or None if all are done.

        submitit calls this at the time limit or on preemption.
        """
        from submitit.helpers import DelayedSubmission  # the job has loaded it

        self._end_all(signal.SIGUSR2, None)
        while self._engines:
            time.sleep(POLL_S)
        last_words = tuple(_last_word(RunDir(Path(folder))) for folder in self.folders)
        self.times_here = self.times_here + 1 if last_words == self.last_words else 1
        self.last_words = last_words
        left = [folder for folder in self.folders if folder not in self.settled]
        left = [folder for folder in left if RunDir(Path(folder)).read_stop() is None]
        return DelayedSubmission(self) if left else None

    def _work(self, waiting: queue.SimpleQueue[RunDir]) -> None:
        if waiting.qsize() > 1:
            self._server.warm_up()
        while not self._is_ending.is_set():
            try:
                run_dir = waiting.get_nowait()
            except queue.Empty:
                return
            # Its process may still run on a node that lost contact before the job was requeued.
            await_exit(run_dir, HEARTBEAT_STALE_S + 15)
            is_left_out = run_dir.read_stop() is not None or _last_word(run_dir) == _FINISHED
            if run_dir.spec.is_file() and not (is_left_out or self._is_ending.is_set()):
                self._do(run_dir)

    def _do(self, run_dir: RunDir) -> None:
        """Start the engine on a run and wait until it ends."""
        try:
            process = self._server.launch(run_dir, cancels_stop=False)
        except LaunchError as error:
            _tell(run_dir, str(error))
            return
        self._engines[run_dir.run_id] = process
        if self._is_ending.is_set():  # since the others were stopped
            process.terminate()
        try:
            if wait_and_record(process, run_dir) in _SETTLED:
                self.settled.add(str(run_dir.path))
        finally:
            del self._engines[run_dir.run_id]

    def _end_all(self, _number: int, _frame: FrameType | None) -> None:
        """Save and stop the runs, and start no other run."""
        self._is_ending.set()
        for process in list(self._engines.values()):
            process.terminate()


def _last_word(run_dir: RunDir) -> str | int | None:
    """Return ``finished``, or the step at which a run stopped, from its last event.

    A run may already have finished when the scheduler restarts a job.
    """
    try:
        with open(run_dir.events, "rb", opener=plain_file) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_WORD_BYTES))
            lines = file.read().splitlines()
        word = decode_event(lines[-1]) if lines else None
    except (OSError, EventDecodeError):
        return None
    if isinstance(word, RunStopped):
        return word.step
    return _FINISHED if isinstance(word, RunFinished) else None


def _other_version(submitted: str) -> str:
    return (
        f"{socket.gethostname()} has version {VERSION} of this program, but the run was submitted "
        f"with {submitted}. Install the same version, then submit again."
    )


def _refuse(todo: Sequence[RunDir], message: str) -> NoReturn:
    """Write to every run's log why it is not started, and end the job.

    Raises:
        SystemExit: always.
    """
    for run_dir in todo:
        _tell(run_dir, message)
    raise SystemExit(message)


def _tell(run_dir: RunDir, message: str) -> None:
    """Write to a run's log, and to the job's, why the run is not started."""
    print(f"{run_dir.run_id}: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the job's log
    with contextlib.suppress(OSError), open(run_dir.log, "a", opener=plain_file) as log:
        log.write(plain_text(message, keep_newlines=True) + "\n")
