"""Measure what keeping the predictions of every evaluation takes, in time and space.

    python benchmarks/step_predictions.py [--evaluations 30]

Trains the smallest network on the embedded data set ``emoji``, whole and then only its last layer
on cached features, with an evaluation after each step. Prints medians over the evaluations.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from engine.evaluate import StepPredictionsKeeper
from engine.protocol import resolve_spec
from engine.run import run
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from engine.train.attempt import Attempt

RUN = {
    "dataset": "emoji", "model": "test_resnet", "weights": "none", "image_size": 32,
    "batch_size": 8, "eval_every": 1, "head_steps": 5, "precision": "fp32",
    "memory_format": "contiguous", "threads": 1, "device": "cpu",
}  # fmt: skip
RUNS = {"full": {}, "linear": {"tuning": "linear", "linear_features": "penultimate"}}


def main() -> None:
    """Time evaluations, and what is kept of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=30)
    steps = parser.parse_args().evaluations - 1
    with tempfile.TemporaryDirectory() as folder:
        for tuning, fields in RUNS.items():
            run_dir = RunDir(Path(folder) / "runs" / tuning)
            run_dir.create(resolve_spec({**RUN, **fields, "steps": steps}), UserData())
            evaluated_s, kept_s = _train(run_dir)
            evaluation_s, later_s = statistics.median(evaluated_s), statistics.median(kept_s[1:])
            print(
                f"{tuning}: evaluation {evaluation_s * 1000:.0f} ms · kept in {later_s * 1000:.2f} "
                f"ms ({later_s / evaluation_s:.2%}), the first in {kept_s[0] * 1000:.0f} ms · "
                f"{run_dir.step_predictions.stat().st_size:,} bytes"
            )


def _train(run_dir: RunDir) -> tuple[list[float], list[float]]:
    """Train, and return the seconds of each evaluation and of keeping its predictions."""
    evaluated_s: list[float] = []
    kept_s: list[float] = []
    log = EventLog(run_dir.events)
    with (
        patch.object(Attempt, "measure", _timed(Attempt.measure, evaluated_s)),
        patch.object(StepPredictionsKeeper, "keep", _timed(StepPredictionsKeeper.keep, kept_s)),
    ):
        log.record(run(run_dir, log, StopRequest()))
    log.close()
    return evaluated_s, kept_s


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        result = function(*arguments, **named)
        seconds.append(time.perf_counter() - began)
        return result

    return timed


if __name__ == "__main__":
    main()
