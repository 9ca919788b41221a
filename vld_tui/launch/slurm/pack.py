"""What a job does on its node: the runs it was given, from their folders alone.

submitit makes a job of a :class:`Pack`, and queues the job again when its time is up. It needs
nothing but the disk that the run folders are on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
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
from vld_tui.launch.local import LaunchError, await_exit, launch, wait_and_record
from vld_tui.words.text import plain_text

POLL_S: Final = 0.2
VERSION: Final = f"{metadata.version('vld-tui')}, protocol {PROTOCOL_VERSION}"
_FINISHED: Final = "finished"
_SETTLED: Final = (0, 1, 2)
"""Exit codes of an engine whose run is not gone on with: finished, failed, refused."""
_LAST_WORD_BYTES: Final = 2**16
_PATIENCE: Final = 5
"""So often a job may be ended at the same point, all in all."""
_IN_VAIN: Final = (
    f"{_PATIENCE} times in a row this job was ended before it got any further: its time was up, or "
    "others took its place. Submit it again with a longer --time."
)

Standing = tuple[object, ...]


class Pack:
    """Runs of one job, done one after another or some side by side.

    A run that is finished, failed, or was asked to stop is not gone on with; one that was broken
    off is, from its checkpoint, when the job begins again, unless it never gets anywhere.
    """

    def __init__(
        self,
        folders: Sequence[str],
        at_once: int = 1,
        version: str = VERSION,
        settled: Sequence[str] = (),
        standing: Standing = (),
        times_here: int = 0,
    ) -> None:
        self.folders = tuple(folders)
        self.at_once = at_once
        self.version = version
        self.settled = set(settled)
        self.standing = standing
        self.times_here = times_here
        self._engines: dict[str, subprocess.Popen[bytes]] = {}
        self._is_ending = threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled without what only lives in a job."""
        settled = tuple(sorted(self.settled))
        return Pack, (
            self.folders, self.at_once, self.version, settled, self.standing, self.times_here,
        )  # fmt: skip

    def __call__(self) -> None:
        """Do the runs; what comes after a signal to end is :meth:`checkpoint`'s, or the end."""
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
        while self._is_ending.is_set():  # to be killed, or queued again by the scheduler
            time.sleep(POLL_S)

    def checkpoint(self) -> Any:
        """Have every run save and stop, and return what goes on with them; None: nothing is left.

        submitit calls this when the job's time is up or others take its place.
        """
        from submitit.helpers import DelayedSubmission  # the job has loaded it

        self._end_all(signal.SIGUSR2, None)
        while self._engines:
            time.sleep(POLL_S)
        standing = tuple(_last_word(RunDir(Path(folder))) for folder in self.folders)
        self.times_here = self.times_here + 1 if standing == self.standing else 1
        self.standing = standing
        left = [folder for folder in self.folders if folder not in self.settled]
        left = [folder for folder in left if RunDir(Path(folder)).read_stop() is None]
        return DelayedSubmission(self) if left else None

    def _work(self, waiting: queue.SimpleQueue[RunDir]) -> None:
        while not self._is_ending.is_set():
            try:
                run_dir = waiting.get_nowait()
            except queue.Empty:
                return
            # It may still go on, from before the node was cut off and the job given to another.
            await_exit(run_dir, HEARTBEAT_STALE_S + 15)
            is_left_out = run_dir.read_stop() is not None or _last_word(run_dir) == _FINISHED
            if run_dir.spec.is_file() and not (is_left_out or self._is_ending.is_set()):
                self._do(run_dir)

    def _do(self, run_dir: RunDir) -> None:
        """Have the engine take a run up, and wait until it ends."""
        try:
            process = launch(run_dir, lets_go_on=False)
        except LaunchError as error:
            _tell(run_dir, str(error))
            return
        self._engines[run_dir.run_id] = process
        if self._is_ending.is_set():  # since the others were told
            process.terminate()
        try:
            if wait_and_record(process, run_dir) in _SETTLED:
                self.settled.add(str(run_dir.path))
        finally:
            del self._engines[run_dir.run_id]

    def _end_all(self, _number: int, _frame: FrameType | None) -> None:
        """Have the engines save and stop, and begin no other run."""
        self._is_ending.set()
        for process in list(self._engines.values()):
            process.terminate()


def _last_word(run_dir: RunDir) -> str | int | None:
    """Return ``finished`` or at which step a run stopped, if it said so last.

    A run may be finished when the scheduler begins a job anew.
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
        f"On {socket.gethostname()} there is another version of this program ({VERSION}) than "
        f"where the run was submitted ({submitted}): make them the same, then submit again."
    )


def _refuse(todo: Sequence[RunDir], message: str) -> NoReturn:
    """Say in every run's log why it is not taken up, and end the job.

    Raises:
        SystemExit: always.
    """
    for run_dir in todo:
        _tell(run_dir, message)
    raise SystemExit(message)


def _tell(run_dir: RunDir, message: str) -> None:
    """Say in a run's log, and in the job's, why nothing takes it up."""
    print(f"{run_dir.run_id}: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the job's log
    with contextlib.suppress(OSError), open(run_dir.log, "a", opener=plain_file) as log:
        log.write(plain_text(message, keep_newlines=True) + "\n")
