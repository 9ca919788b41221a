"""Live runs: a process that appends events to many run folders at a steady rate."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from benchmarks.filled_home import evaluation
from engine.protocol import Event, RunStarted, StepsTaken, resolve_spec
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from vld_tui.home import Home
from vld_tui.store.store import Store

EVENTS_PER_S = 100


@contextmanager
def live_runs(home: Home, count: int) -> Iterator[None]:
    """Create runs, and append 100 events per second to the log of each."""
    with Store.open(home) as store:
        spec = resolve_spec({"steps": 100_000})
        run_dirs = [home.run_dir(store.runs.create(spec).run_id) for _ in range(count)]
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_write, args=(run_dirs,), daemon=True)
    writer.start()
    try:
        yield
    finally:
        writer.terminate()
        writer.join()


def _write(run_dirs: Sequence[RunDir]) -> None:
    logs = [EventLog(run_dir.events) for run_dir in run_dirs]
    for run_dir, log in zip(run_dirs, logs, strict=True):
        run_dir.write_process(os.getpid())
        log.record(
            RunStarted(
                protocol_version=1, attempt=1, pid=os.getpid(), host="bench", resumed_step=None,
                versions={}, commit=None,
            )
        )  # fmt: skip
    started = time.perf_counter()
    step = 0
    while True:
        step += 1
        for index, log in enumerate(logs):
            for event in _events_of_step(step, index):
                log.record(event)
        time.sleep(max(0.0, started + step / EVENTS_PER_S - time.perf_counter()))


def _events_of_step(step: int, index: int) -> list[Event]:
    """Return the event of a step: an evaluation every tenth time, otherwise the loss."""
    if step % 10 == 0:
        return [msgspec.structs.replace(evaluation(step, index)[0], is_best=step % 100 == 0)]
    return [
        StepsTaken(
            step=step, loss=1 + 1 / step, lr=1e-3, head_lr=1e-4, steps_per_s=100.0,
            images_per_s=9000.0, elapsed_s=step / 100, seconds_left=100.0,
        )
    ]  # fmt: skip
