"""Measure what starting a run costs the queue: forked from a warm engine, or as a new process.

    python benchmarks/queue_start.py [--runs 20] [--rounds 3]

Each round processes a queue of tiny runs both ways, in turn. Prints medians of the processor
seconds and the seconds per run, and of the milliseconds from a process's start to its first event.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.protocol import decode_event, resolve_spec
from vld_tui.home import Home, open_home
from vld_tui.launch.local import launch
from vld_tui.launch.queue import main as process_queue
from vld_tui.store.store import Store

TINY = {
    "dataset": "emoji", "model": "test_resnet", "weights": "none", "precision": "fp32",
    "memory_format": "contiguous",
    "threads": 1, "image_size": 32, "batch_size": 8, "steps": 5, "eval_every": 5,
    "head_steps": 5,
}  # fmt: skip
FORKED, NEW = "forked", "new"


def main() -> None:
    """Measure both ways in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--process", nargs=2, metavar=("HOME", "HOW"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.process:
        _process(*asked.process)
        return
    measured: dict[str, list[tuple[float, float, float]]] = {FORKED: [], NEW: []}
    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder))
        _measure(home, NEW, 1)  # builds the image cache
        for _ in range(asked.rounds):
            for how, found in measured.items():
                found.append(_measure(home, how, asked.runs))
    for how, found in measured.items():
        processor_s, wall_s, first_ms = (
            statistics.median(each) for each in zip(*found, strict=True)
        )
        print(
            f"{how:6}  {processor_s:6.2f} processor seconds per run · {wall_s:6.2f} s per run · "
            f"first event after {first_ms:5.0f} ms"
        )


def _measure(home: Home, how: str, count: int) -> tuple[float, float, float]:
    """Return processor seconds and seconds per run, and the median time to the first event."""
    with Store.open(home) as store:
        specs = [resolve_spec({**TINY, "seed": seed}) for seed in range(count)]
        runs = store.runs.create_many(specs, is_queued=True)
        before, began = _processor_s(), time.perf_counter()
        subprocess.run([sys.executable, __file__, "--process", str(home.path), how], check=True)
        wall_s, processor_s = time.perf_counter() - began, _processor_s() - before
        waits = [_until_first_event(store, run) for run in runs]
    return processor_s / count, wall_s / count, 1000 * statistics.median(waits)


def _until_first_event(store: Store, run: str) -> float:
    run_dir = store.runs.run_dir(run)
    process = run_dir.read_process()
    assert process is not None
    with run_dir.events.open("rb") as events:
        return decode_event(events.readline()).time - process.started_at


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _process(home: str, how: str) -> None:
    start = None if how == FORKED else lambda run_dir, gpu: launch(run_dir, gpu=gpu)
    process_queue(Home(Path(home)), start)


if __name__ == "__main__":
    main()
