"""Measure what recording an event of five metrics costs the training process.

    python benchmarks/event_cost.py [--events 20000]

Prints the median and the 99th percentile in microseconds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from engine.protocol import Evaluated, Metric
from engine.rundir.event_log import EventLog


def main() -> None:
    """Time EventLog.record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    count = parser.parse_args().events
    metrics = [Metric("out", f"domain{n}", "dropout", "accuracy", n / 7) for n in range(5)]
    event = Evaluated(
        step=100, metrics=metrics, id_accuracy=0.7, ood_accuracy=0.5, is_best=True, wall_s=4.2
    )
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder) / "events.jsonl")
        times_us = []
        for _ in range(count):
            started = time.perf_counter_ns()
            log.record(event)
            times_us.append((time.perf_counter_ns() - started) / 1000)
        log.close()
    worst = statistics.quantiles(times_us, n=100)[-1]
    print(f"median {statistics.median(times_us):.1f} µs, 99th percentile {worst:.1f} µs")


if __name__ == "__main__":
    main()
