"""Measure what each objective costs: a training step with it against a step of ERM.

    python benchmarks/objectives.py [--rounds 15] [--only coral,rpdro+coral] [--tuning linear]

Steps are those of the default run on the embedded emoji at 96 px, with ``--tuning linear`` on
cached features of one view of each image. The two sides of a ratio
alternate in one process, and both draw their own batches. Prints a Markdown table of the medians of
paired ratios with their quartiles, by wall time and by processor time, which other programs affect
less. Measured is the last step of a run, in which every schedule of an objective has ended. An
objective that needs other settings, such as a teacher, is left out with a note.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import torch

from benchmarks.revision import revision
from benchmarks.step_cost import paired_ratios
from engine.data import load_data
from engine.machine.devices import device_name
from engine.machine.processor import keep_freed_memory
from engine.protocol import OBJECTIVES, RunSpec, resolve_spec
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import Training, prepare

JOINED: Final = ("rpdro+coral", "groupdro+vrex", "odd+groupdro+rpdro+coral+vrex")
CLASS_WEIGHTS: Final = "erm, class weights"
RUN: Final = {"dataset": "emoji", "image_size": 96, "precision": "fp32"}
TUNINGS: Final[Mapping[str, Mapping[str, object]]] = {
    "full": RUN,
    "linear": {**RUN, "tuning": "linear", "views": 1},
}


def cases() -> dict[str, Mapping[str, object]]:
    """Return the fields of the runs to measure, by name, without those that need more."""
    found: dict[str, Mapping[str, object]] = {}
    for name in (*OBJECTIVES, *JOINED):
        if all(not OBJECTIVES[part].needs for part in name.split("+")) and name != "erm":
            found[name] = {"objective": name}
    return {**found, CLASS_WEIGHTS: {"class_weights": "balanced"}}


def prepared(home: Path, fields: Mapping[str, object]) -> tuple[RunSpec, Training]:
    """Prepare a run; all runs share the cache of ``home``."""
    spec = resolve_spec(fields)
    run_dir = RunDir(home / "runs" / "benchmark")
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    training.network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    return spec, training


def as_erm(training: Training) -> dict[str, object]:
    """Return the fields with which another run computes as this one does."""
    execution = training.execution
    folds = "on" if execution.folds_training else "off"
    return {"memory_format": execution.memory_format, "fold_batchnorm": folds}


def last_step(spec: RunSpec, training: Training) -> Callable[[], None]:
    """Return the last step of a run; it can be taken any number of times."""

    def step() -> None:
        take_step(spec, training, spec.steps - 1)

    return step


def describe(spec: RunSpec, training: Training) -> str:
    """Return what was measured: network, machine and revision."""
    execution = training.execution
    images = spec.batch_size * training.sources
    return (
        f"{spec.model}, {spec.tuning} tuning, {spec.image_size} px, {images} images, "
        f"{spec.masks} masks, {execution.name}; {device_name(execution.device)}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}; revision {revision()}"
    )


def measure(
    home: Path, chosen: Mapping[str, Mapping[str, object]], tuning: str, rounds: int
) -> None:
    """Print the table of the chosen cases."""
    base = TUNINGS[tuning]
    erm_spec, erm = prepared(home, base)
    print(describe(erm_spec, erm), end="\n\n", flush=True)
    print("| objective | step / step of ERM (quartiles) | processor time | step, ms |")
    print("|---|---|---|---|")
    for name, fields in chosen.items():
        spec, training = prepared(home, {**base, **as_erm(erm), **fields})
        wall, processor, step_ms = paired_ratios(
            last_step(spec, training), last_step(erm_spec, erm), rounds, erm.execution.device
        )
        low, middle, high = statistics.quantiles(wall, n=4)
        print(
            f"| {name} | ×{middle:.3f} ({low:.3f}–{high:.3f}) "
            f"| ×{statistics.median(processor):.3f} | {step_ms:.1f} |",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and which objectives it leaves out."""
    known = cases()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", help=f"comma-separated, of: {', '.join(known)}")
    parser.add_argument("--tuning", choices=TUNINGS, default="full")
    asked = parser.parse_args(arguments)
    chosen = {name: known[name] for name in asked.only.split(",")} if asked.only else known
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as home:
        measure(Path(home), chosen, asked.tuning, asked.rounds)
    for name, info in OBJECTIVES.items():
        if info.needs:
            print(f"\n{name} is not measured: it needs {', '.join(info.needs)}.")


if __name__ == "__main__":
    main()
