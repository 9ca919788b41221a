"""The queue: its slots, and the process that starts queued runs as slots become free.

``python -m vld_tui.launch.queue HOME [SLOTS]``. Of several, one works: it holds a lock that the
operating system releases when it dies. All its state is in the database and the run folders, so a
killed supervisor is replaced by the next, started by any process that queues a run or by the
dashboard. It ends when nothing is queued and every run it started is over.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.protocol import RunSpec, UserError
from engine.rundir import RunDir, plain_file
from engine.rundir.life import is_alive, last_lines
from engine.rundir.lock import held, is_held
from vld_tui.config import MOST_SLOTS, QueueConfig
from vld_tui.home import Home
from vld_tui.launch.local import (
    EXIT_PATIENCE_S,
    EngineProcess,
    LaunchError,
    engine_environment,
    start_process,
    wait_and_record,
)
from vld_tui.launch.notify.process import call_notifier
from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store

if TYPE_CHECKING:
    from vld_tui.launch.fork_server import ForkServer

VISIBLE_GPUS: Final = "CUDA_VISIBLE_DEVICES"
ALL_GPUS: Final = "all"
Slot = str | None
"""Room for one run: its GPU, as in ``CUDA_VISIBLE_DEVICES``, or None."""
POLL_S: Final = 1.0
START_PATIENCE_S: Final = 3.0
START_POLL_S: Final = 0.02
"""How long, and how often, a new supervisor is checked for a failed start."""
LOCK_PATIENCE_S: Final = 5.0
"""How long a second supervisor waits for the first one to end."""
SUPERVISOR_COMMAND: Final = (sys.executable, "-P", "-m", "vld_tui.launch.queue")
Starter = Callable[[RunDir, str | None], EngineProcess]
"""Starts the engine on a run, on its own GPU if available."""


class SlotsError(UserError):
    """Slots or GPUs that this machine does not have; the message lists those it has."""


def find_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the usable GPUs of this machine, as in ``CUDA_VISIBLE_DEVICES``."""
    named = environment.get(VISIBLE_GPUS)
    if named is not None:
        return tuple(part.strip() for part in named.split(",") if part.strip())
    return tuple(map(str, range(_count_gpus())))


def make_slots(count: int | None, gpus: Sequence[str]) -> tuple[Slot, ...]:
    """Return ``count`` slots over the GPUs in turn; by default one per GPU, or one without GPUs."""
    if not gpus:
        return (None,) * (1 if count is None else count)
    return tuple(gpus[index % len(gpus)] for index in range(len(gpus) if count is None else count))


def slots_of(store: Store, count: int | None = None) -> tuple[Slot, ...]:
    """Return ``count`` slots of this machine on the stored GPUs; None: the stored count.

    Raises:
        StoreError: when the settings cannot be read.
    """
    gpus, config = find_gpus(), store.settings.section(QueueConfig)
    chosen = [gpu for gpu in config.gpus if gpu in gpus]
    wanted = count or config.slots or None
    return make_slots(wanted, chosen or gpus)


def queue_settings(count: int | None, gpus: str | None) -> dict[str, Any]:
    """Return the settings of a queue with so many slots on some GPUs.

    Args:
        count: how many; 0: one for each GPU, else one; None: as before.
        gpus: separated by commas, or ``all``; None: as before.

    Raises:
        SlotsError: for too many slots, or a GPU that this machine does not have.
    """
    settings: dict[str, Any] = {}
    if count is not None:
        if not 0 <= count <= MOST_SLOTS:
            raise SlotsError(f"The number of slots is {count}, but must be from 0 to {MOST_SLOTS}.")
        settings["slots"] = count
    if gpus is not None:
        settings["gpus"] = read_gpus(gpus)
    return settings


def read_gpus(text: str) -> tuple[str, ...]:
    """Return the GPUs in a comma-separated list; empty: all GPUs of this machine.

    Raises:
        SlotsError: for a GPU that this machine does not have.
    """
    here = find_gpus()
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if named == (ALL_GPUS,):
        return ()
    if unknown := [gpu for gpu in named if gpu not in here]:
        has = f"has {', '.join(here)}" if here else "has none"
        raise SlotsError(f"No GPU {unknown[0]!r}: this machine {has}.")
    if not named:
        raise SlotsError(f"The list of GPUs is empty. Pass indices, such as 0,1, or {ALL_GPUS}.")
    return named


def free_slots(slots: Sequence[Slot], taken: Sequence[Slot]) -> list[Slot]:
    """Return the free slots.

    Args:
        slots: all slots.
        taken: the GPUs of each running run; None for a run not started by the queue, which takes
            any free slot.
    """
    left = list(slots)
    for gpu in sorted(taken, key=lambda each: each is None):
        if gpu in left:
            left.remove(gpu)
        elif left and gpu is None:
            left.pop(0)
    return left


def wanted_slots(spec: RunSpec, slots: Sequence[Slot]) -> int:
    """Return how many slots a run takes: one per GPU if slots are GPUs."""
    return 1 if spec.device == "cpu" or None in slots else spec.gpus


def choose_slots(free: Sequence[Slot], wanted: int) -> list[Slot] | None:
    """Return that many free slots on different GPUs, or None if there are too few."""
    different = list(dict.fromkeys(free))[:wanted]
    return different if len(different) == wanted else None


def _count_gpus() -> int:
    try:
        import pynvml  # looks for the driver's library

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no driver, another version of it, no permission: no GPU
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


class Supervisor:
    """Starts queued runs in order as slots become free.

    ``start`` starts the engine on a run; ``warm_up`` is called when several runs are due;
    ``slots`` is their number, None: as stored.
    """

    def __init__(
        self,
        store: Store,
        start: Starter,
        warm_up: Callable[[], None] = lambda: None,
        slots: int | None = None,
    ) -> None:
        self._slots = slots
        self._store = store
        self._launch = start
        self._warm_up = warm_up
        self._started: set[str] = set()
        self._problem: str | None = None
        self._has_ended = threading.Event()

    def work(self) -> None:
        """Start runs until the queue is empty and the started runs have ended."""
        while self.take_turn():
            self._has_ended.wait(POLL_S)
            self._has_ended.clear()

    def take_turn(self) -> bool:
        """Start runs in free slots; return whether more remain."""
        try:
            self._store.live.refresh()
            if self._several_are_due():
                self._warm_up()  # takes seconds, at first
            left = self._start_some(self._store.queue.due())
            if (problem := call_notifier(self._store)) not in (None, self._problem):
                _say(problem)
            self._problem = problem
        except StoreError as error:  # such as a locked database: retry
            _say(str(error))
            return True
        return left or bool(self._started)

    def _several_are_due(self) -> bool:
        """Return whether several runs of one process wait."""
        alone = (run for run in self._store.queue.due() if run.spec.ranks == 1)
        return len(list(itertools.islice(alone, 2))) > 1

    def _start_some(self, due: Iterable[Run]) -> bool:
        """Start runs in free slots, in order; return whether some are left.

        No run overtakes one that needs more GPUs than are free, so that it is not starved.
        """
        slots = slots_of(self._store, self._slots)
        live = [
            run
            for run in self._store.live.runs()
            if _is_here(run) and not (run.has_job or self._store.runs.run_dir(run.run_id).is_copy)
        ]
        taken = [slot for run in live for slot in _taken(run)]
        free = free_slots(slots, taken)
        for run in due:
            wanted = wanted_slots(run.spec, slots)
            if choose_slots(slots, wanted) is None:
                gpus = len(set(slots))
                why = (
                    f"It needs {wanted} GPUs, but the queue has {gpus}. Give the queue more (vld "
                    "queue slots 0 --gpus all), or start it on fewer: vld resume "
                    f"{run.run_id} --gpus {gpus}"
                )
                self._store.queue.mark_unlaunched(run.run_id, why)
                _say(f"{run.run_id} not started: {why}")
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
        run_dir = self._store.runs.run_dir(run.run_id)
        try:
            process = self._launch(run_dir, slot)
        except LaunchError as error:
            _say(str(error))
            known = run_dir.read_process()  # perhaps started by a supervisor that was killed
            if known is not None and is_alive(run_dir, known):
                self._store.live.mark_relaunched(run.run_id, gpu=slot)
            else:
                self._store.queue.mark_unlaunched(run.run_id, str(error))
            return
        self._store.live.mark_relaunched(run.run_id, gpu=slot)
        _say(f"{run.run_id} started" + (f" on GPU {slot}" if slot else ""))
        self._started.add(run.run_id)
        threading.Thread(target=self._watch, args=(process, run_dir), daemon=True).start()

    def _watch(self, process: EngineProcess, run_dir: RunDir) -> None:
        try:
            wait_and_record(process, run_dir)
        finally:
            self._started.discard(run_dir.run_id)
            self._has_ended.set()


def start_supervisor(home: Home, slots: int | None = None) -> None:
    """Start the supervisor unless one is running; ``slots``: only its own, None: as stored.

    Raises:
        LaunchError: when it cannot be started, or fails immediately.
    """
    if is_supervised(home):
        return
    try:
        with open(home.supervisor_log, "ab", opener=plain_file) as log:
            words = [*SUPERVISOR_COMMAND, str(home.path.absolute())]
            words += [str(slots)] if slots else []
            process = start_process(words, engine_environment(), log)
    except OSError as error:
        raise LaunchError(f"Cannot start the queue's worker: {error}.") from None
    _refuse_failure(home, process)


def _refuse_failure(home: Home, process: subprocess.Popen[bytes]) -> None:
    """Check briefly that the supervisor has started.

    Raises:
        LaunchError: when it failed, with the end of its log.
    """
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline and not is_supervised(home):
        if process.poll() is None:
            time.sleep(START_POLL_S)
            continue
        if process.returncode:
            raise LaunchError(
                f"The queue's worker failed:\n{last_lines(home.supervisor_log)}\n"
                "Queued runs stay queued; retry with: vld queue start"
            )
        return  # another one is running, or the queue is empty


def is_supervised(home: Home) -> bool:
    """Return whether a supervisor is running, without writing anything."""
    return is_held(home.supervisor_lock)


def main(home: Home, start: Starter | None = None, slots: int | None = None) -> None:
    """Process the queue of a home unless another process does.

    ``start`` starts the engine on a run; None: by a fork server if several are queued. ``slots``
    is their number; None: as stored.
    """
    from vld_tui.launch.fork_server import ForkServer  # commands and the dashboard need none

    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(held(home.supervisor_lock, patience_s=LOCK_PATIENCE_S))
            except BlockingIOError:
                return
            with Store.open(home) as store, ForkServer() as server:
                _supervisor(store, start, server, slots).work()
        # A process that has just queued a run may have seen the lock held.
        with Store.open(home) as store:
            if not any(store.queue.due()):
                return


def _supervisor(
    store: Store, start: Starter | None, server: ForkServer, slots: int | None
) -> Supervisor:
    if start is not None:
        return Supervisor(store, start, slots=slots)

    def fork(run_dir: RunDir, gpu: str | None) -> EngineProcess:
        return server.launch(run_dir, patience_s=EXIT_PATIENCE_S, gpu=gpu)

    return Supervisor(store, fork, server.warm_up, slots)


def _is_here(run: Run) -> bool:
    """Return whether a run runs on this machine, assumed if its host is unknown."""
    return run.host in (None, socket.gethostname())


def _taken(run: Run) -> list[Slot]:
    """Return the slots that a running run takes."""
    if run.gpu is not None:
        return list(run.gpu.split(","))
    return [None] * (1 if run.spec.device == "cpu" else run.spec.gpus)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)  # noqa: T201 - into its log


if __name__ == "__main__":
    main(Home(Path(sys.argv[1])), slots=int(sys.argv[2]) if sys.argv[2:] else None)
