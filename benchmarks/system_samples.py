"""Measure what sampling the machine takes of a run's time.

    python benchmarks/system_samples.py [--rounds 30]

Each round takes the calls of a step with and without a monitor, in turns, and one sample. Prints
medians over the rounds, and the share of a step of 20 ms: calls, and a sample every ten seconds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from engine.rundir.event_log import EventLog
from engine.rundir.monitor import EVERY_S, NO_MONITOR, Monitor
from engine.rundir.phases import Phases

STEPS = 20_000
STEP_S = 0.02


def main() -> None:
    """Time the calls of steps and samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder) / "events.jsonl")
        differences_us, samples_ms = [], []
        for _ in range(rounds):
            monitor = Monitor(log, Path(folder))
            without_us, with_us = (_step_us(log, each) for each in (NO_MONITOR, monitor))
            differences_us.append(with_us - without_us)
            samples_ms.append(_sample_ms(monitor))
        log.close()
    call_us, sample_ms = statistics.median(differences_us), statistics.median(samples_ms)
    share = call_us / 1e6 / STEP_S + sample_ms / 1000 / EVERY_S
    print(f"step {call_us:.2f} µs more · sample {sample_ms:.2f} ms · {share:.4%} of the time")


def _step_us(log: EventLog, monitor: Monitor) -> float:
    """Return the microseconds of the calls of one step."""
    training = Phases(log, monitor).begin("training", STEPS)
    started = time.perf_counter()
    for step in range(STEPS):
        monitor.step = step
        training.reached(step)
    return (time.perf_counter() - started) / STEPS * 1e6


def _sample_ms(monitor: Monitor) -> float:
    """Return the milliseconds of one sample."""
    started = time.perf_counter()
    monitor.poll(time.monotonic() + EVERY_S)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
