"""How many cached views of each image does linear tuning need?

    python benchmarks/views.py HOME [--seeds 2]

HOME keeps the cache and the runs of this benchmark; runs that it holds are not repeated.

Linear runs with the default recipe on the embedded emoji, at 64 px to save time. For each pair of
styles one run trains on the other two; what counts is the accuracy on the two styles left out. For
a study with one of them as the target, that of the other is the accuracy on a source left out, so
no target's accuracy is read for that target's own decision (as in `selection.py`). ID accuracy is
that of the selected step.

**The rule**, written before the runs were made: the default is the smallest number of views whose
mean accuracy over the pairs is not below that of the largest number by more than one standard error
of the paired difference, both at the step with the best ID accuracy. It was written for blocks at
λ = 0.9; the other two settings were added when that result was known.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
from pathlib import Path
from typing import Final, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

from engine.data import load_data
from engine.protocol import Evaluated, decode_event, resolve_spec
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.folder import UserData
from engine.stop_request import StopRequest
from engine.train import fine_tune

STYLES: Final = ("fluent", "fluent-mono", "noto", "twemoji")
VIEWS: Final = (1, 2, 4, 6, 12)


SETTINGS: Final = (("blocks", 0.9), ("blocks", 0.0), ("penultimate", 0.9))
"""Features and dropout rates."""


class Design(NamedTuple):
    """One run."""

    features: str
    dropout_rate: float
    views: int
    target: str
    held_out: str
    seed: int


class Result(NamedTuple):
    """Accuracies (0 to 1) at the selected step: ID, and on the two styles left out."""

    id_accuracy: float
    left_out: float


def run(home: Path, design: Design) -> Result:
    """Train on the styles that are not left out, unless done before, and return the result."""
    run_dir = RunDir(home / "runs" / "-".join(map(str, design)))
    if not run_dir.predictions.exists():
        spec = resolve_spec(
            {
                "dataset": "emoji", "tuning": "linear", "linear_features": design.features,
                "views": design.views,
                "dropout_rate": design.dropout_rate, "target": design.target,
                "held_out_source": design.held_out, "seed": design.seed, "image_size": 64,
                "precision": "fp32", "memory_format": "channels_last", "keep_checkpoints": "none",
            }
        )  # fmt: skip
        shutil.rmtree(run_dir.path, ignore_errors=True)
        run_dir.create(spec, UserData())
        log = EventLog(run_dir.events)
        log.record(
            fine_tune(spec, load_data(spec, run_dir.cache), run_dir, None, log, StopRequest())
        )
        log.close()
    events = map(decode_event, run_dir.events.read_bytes().splitlines())
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    best = max(evaluated, key=lambda event: event.id_accuracy)
    left_out = [
        metric.value
        for metric in best.metrics
        if metric.domain in design[3:5] and metric.name == "accuracy" and metric.split == "in"
    ]
    return Result(best.id_accuracy, statistics.fmean(filter(None, left_out)))


def main() -> None:
    """Make all runs and print a line for each setting and number of views."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    pairs = list(itertools.combinations(STYLES, 2))
    for features, dropout_rate in SETTINGS:
        print(f"{features}, dropout {dropout_rate:g}")
        found: dict[int, list[Result]] = {}
        for views in sorted(VIEWS, reverse=True):  # the largest computes all features
            found[views] = [
                run(asked.home, Design(features, dropout_rate, views, *pair, seed))
                for pair in pairs
                for seed in range(asked.seeds)
            ]
            _tell(views, found[views], found[max(VIEWS)], asked.seeds)


def _tell(views: int, found: list[Result], largest: list[Result], seeds: int) -> None:
    """Print the means of a number of views, and the paired difference to the largest number."""
    per_pair = [
        statistics.fmean(
            100 * (ours.left_out - theirs.left_out)
            for ours, theirs in zip(found[at : at + seeds], largest[at : at + seeds], strict=True)
        )
        for at in range(0, len(found), seeds)
    ]
    error = statistics.stdev(per_pair) / len(per_pair) ** 0.5
    print(
        f"{views:>2} views: ID {100 * statistics.fmean(each.id_accuracy for each in found):.2f}  "
        f"left out {100 * statistics.fmean(each.left_out for each in found):.2f}  "
        f"difference {statistics.fmean(per_pair):+.2f} ± {error:.2f} (standard error over pairs)",
        flush=True,
    )


if __name__ == "__main__":
    main()
