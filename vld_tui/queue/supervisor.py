"""The process that starts waiting runs as slots come free.

``python -m vld_tui.queue HOME``. Of several, one works: it holds a lock that the operating system
lets go of when it dies. All it knows stands in the database and the run folders, so one that was
killed is replaced by the next, started by whoever queues a run or opens a dashboard. It ends when
nothing waits and every run it started is over.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Final

from engine.rundir import RunDir
from engine.rundir.life import is_alive
from vld_tui.home import Home
from vld_tui.launch.local import (
    EXIT_PATIENCE_S,
    LaunchError,
    engine_environment,
    launch,
    wait_and_record,
)
from vld_tui.queue.slots import Slot, choose_slots, free_slots, slots_of, wanted_slots
from vld_tui.store.errors import StoreError
from vld_tui.store.runs import Run
from vld_tui.store.store import Store

POLL_S: Final = 1.0
LOCK_PATIENCE_S: Final = 5.0
"""How long a second supervisor waits for the first one to end."""
SUPERVISOR_COMMAND: Final = (sys.executable, "-P", "-m", "vld_tui.queue")


Starter = Callable[[RunDir, str | None], subprocess.Popen[bytes]]
"""Starts the engine on a run, on a GPU of its own if there is one."""


def _start_engine(run_dir: RunDir, gpu: str | None) -> subprocess.Popen[bytes]:
    return launch(run_dir, patience_s=EXIT_PATIENCE_S, gpu=gpu)


class Supervisor:
    """Starts waiting runs, in order, as slots come free."""

    def __init__(self, store: Store, start: Starter = _start_engine) -> None:
        self._store = store
        self._launch = start
        self._watchers: list[threading.Thread] = []

    def work(self) -> None:
        """Start runs until nothing waits and those started are over."""
        while self.take_turn():
            time.sleep(POLL_S)

    def take_turn(self) -> bool:
        """Start what there is room for; say whether there is more to do."""
        try:
            self._store.refresh()
            waiting = [run for run in self._store.queue() if not run.is_held]
            left = self._start_some(waiting)
        except StoreError as error:  # such as a database locked for long: next time
            _say(str(error))
            return True
        self._watchers = [thread for thread in self._watchers if thread.is_alive()]
        return left or bool(self._watchers)

    def _start_some(self, waiting: Sequence[Run]) -> bool:
        """Start what there is room for, in order; say whether some are left.

        No run overtakes one that waits for more GPUs than are free, so that it has its turn.
        """
        slots = slots_of(self._store)
        live = [
            run
            for run in self._store.live_runs()
            if _is_here(run) and not (run.has_job or self._store.run_dir(run.run_id).is_copy)
        ]
        taken = [slot for run in live for slot in _taken(run)]
        free = free_slots(slots, taken)
        for run in waiting:
            wanted = wanted_slots(run.spec, slots)
            if choose_slots(slots, wanted) is None:
                gpus = len(set(slots))
                why = (
                    f"It wants {wanted} GPUs, but the queue has {gpus}. Give the queue more (vld "
                    "queue slots 0 --gpus all), or start it on fewer: vld resume "
                    f"{run.run_id} --gpus {gpus}"
                )
                self._store.mark_unlaunched(run.run_id, why)
                _say(f"{run.run_id} is not started: {why}")
                continue
            chosen = choose_slots(free, wanted)
            if chosen is None:
                return True
            for slot in chosen:
                free.remove(slot)
            gpus_named = [slot for slot in chosen if slot is not None]
            self._start(run, ",".join(gpus_named) or None)
        return False

    def _start(self, run: Run, slot: Slot) -> None:
        run_dir = self._store.run_dir(run.run_id)
        try:
            process = self._launch(run_dir, slot)
        except LaunchError as error:
            _say(str(error))
            known = run_dir.read_process()
            if known is not None and is_alive(run_dir, known):  # by one of us that was killed
                self._store.mark_relaunched(run.run_id, gpu=slot)
            else:
                self._store.mark_unlaunched(run.run_id, str(error))
            return
        self._store.mark_relaunched(run.run_id, gpu=slot)
        _say(f"{run.run_id} started" + (f" on GPU {slot}" if slot else ""))
        watcher = threading.Thread(target=wait_and_record, args=(process, run_dir))
        watcher.daemon = True
        watcher.start()
        self._watchers.append(watcher)


def start_supervisor(home: Home) -> None:
    """Have a process start the runs that wait, unless one does so already.

    Raises:
        LaunchError: when it cannot be started.
    """
    if is_supervised(home):
        return
    try:
        with home.supervisor_log.open("ab") as log:
            subprocess.Popen(
                [*SUPERVISOR_COMMAND, str(home.path.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=engine_environment(),
            )
    except OSError as error:
        raise LaunchError(f"The queue cannot be worked on: {error}.") from None


def is_supervised(home: Home) -> bool:
    """Say whether a process works on the queue. Nothing is written."""
    try:
        with home.supervisor_lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody ever did
        return False
    return False


def main(home: Home, start: Starter = _start_engine) -> None:
    """Work on the queue of a home, unless another process does."""
    with home.supervisor_lock.open("ab") as file:
        while _lock(file):
            with Store.open(home) as store:
                Supervisor(store, start).work()
                fcntl.flock(file, fcntl.LOCK_UN)
                # Whoever queued a run just now may have seen the lock held.
                if all(run.is_held for run in store.queue()):
                    return


def _lock(file: IO[bytes]) -> bool:
    """Hold the lock, waiting a moment for one who is about to end; False: another works."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S / 10)


def _is_here(run: Run) -> bool:
    """Say whether a run goes on on this machine; one that has not said where is taken to."""
    return run.host in (None, socket.gethostname())


def _taken(run: Run) -> list[Slot]:
    """Return the slots that a run that goes on takes."""
    if run.gpu is not None:
        return list(run.gpu.split(","))
    return [None] * (1 if run.spec.device == "cpu" else run.spec.gpus)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)  # noqa: T201 - into its log
