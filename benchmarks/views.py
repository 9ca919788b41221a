"""How many cached views of each image does linear tuning need?

    python benchmarks/views.py [--features blocks|penultimate] [--dropout 0.9] [--seeds 2]

Linear runs with the default recipe on the embedded emoji, at 64 px to save time. For each pair of
styles one run trains on the other two; what counts is the accuracy on the two styles left out. For
a study with one of them as the target, that of the other is the accuracy on a source left out, so
no target's accuracy is read for that target's own decision (as in `selection.py`). ID accuracy is
that of the selected step.

**The rule**, written before the runs were made: the default is the smallest number of views whose
mean accuracy over the pairs is not below that of the largest number by more than one standard error
of the paired difference, both at the step with the best ID accuracy.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
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


class Result(NamedTuple):
    """Accuracies (0 to 1) at the selected step: ID, and on the two styles left out."""

    id_accuracy: float
    left_out: float


def run(home: Path, pair: tuple[str, str], views: int, seed: int, **fields: object) -> Result:
    """Train on the styles not in the pair and return the result."""
    target, held_out = pair
    spec = resolve_spec(
        {
            "tuning": "linear", "target": target, "held_out_source": held_out, "views": views,
            "seed": seed, "image_size": 64, "precision": "fp32", "memory_format": "channels_last",
            "keep_checkpoints": "none", **fields,
        }
    )  # fmt: skip
    run_dir = RunDir(home / "runs" / f"{target}-{held_out}-{views}-{seed}")
    run_dir.create(spec, UserData())
    log = EventLog(run_dir.events)
    fine_tune(spec, load_data(spec, run_dir.cache), run_dir, None, log, StopRequest())
    log.close()
    events = map(decode_event, run_dir.events.read_bytes().splitlines())
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    best = max(evaluated, key=lambda event: event.id_accuracy)
    left_out = [
        metric.value
        for metric in best.metrics
        if metric.domain in pair and metric.name == "accuracy" and metric.split == "in"
    ]
    return Result(best.id_accuracy, statistics.fmean(filter(None, left_out)))


def main() -> None:
    """Make all runs and print a line for each number of views."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", default="blocks", choices=["blocks", "penultimate"])
    parser.add_argument("--dropout", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    pairs = list(itertools.combinations(STYLES, 2))
    found: dict[int, list[Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for views in sorted(VIEWS, reverse=True):  # the largest computes all features
            found[views] = [
                run(
                    Path(folder), pair, views, seed,
                    linear_features=asked.features, dropout_rate=asked.dropout,
                )
                for pair in pairs
                for seed in range(asked.seeds)
            ]  # fmt: skip
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
