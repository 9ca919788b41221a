"""Count the steps that 1, 8, 64 and infinitely many masks need to a given OOD accuracy.

    vld --home HOME sweep benchmarks/mask-noise.toml     # 24 runs; resume with the same command
    python -m benchmarks.mask_noise HOME [--accuracy 0.45 0.65]

Prints the first evaluated step at or above the accuracy, for each seed in its order, and the OOD
accuracy of the last step, mean ± standard deviation over seeds. The accuracies are those of
``fluent-mono`` and ``twemoji``.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import vld_tui as vld

TARGETS: Final = ("fluent-mono", "twemoji")
MASKS: Final = (1, 8, 64, "inf")


def ood_accuracies(home: Path, run: Mapping[str, Any]) -> dict[int, float]:
    """Return the OOD accuracy of a run's own network by step."""
    handle = vld.run(run["run"], home=home)
    points = handle.metrics(name="accuracy", domain="ood", arm=run["arm"])
    return {point["step"]: point["value"] for point in points if point["value"] is not None}


def reached(accuracies: Mapping[int, float], accuracy: float) -> str:
    """Return the first step at or above an accuracy as text."""
    steps = (step for step, value in sorted(accuracies.items()) if value >= accuracy)
    return str(next(steps, "–"))


def describe(curves: Iterable[Mapping[int, float]], accuracy: float) -> str:
    """Return the steps to an accuracy and the last accuracies of several seeds as text."""
    curves = list(curves)
    steps = ", ".join(reached(curve, accuracy) for curve in curves)
    last = [100 * curve[max(curve)] for curve in curves]
    spread = f" ± {statistics.stdev(last):.1f}" if len(last) > 1 else ""
    return f"{steps:20}  {statistics.fmean(last):.1f}{spread}"


def main() -> None:
    """Print a line for each target and number of masks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--accuracy", type=float, nargs=2, default=(0.45, 0.65))
    asked = parser.parse_args()
    print(f"{'target':12} {'masks':>5}  {'steps of each seed':20}  OOD % at the last step")
    for target, accuracy in zip(TARGETS, asked.accuracy, strict=True):
        for masks in MASKS:
            where = f"tag:mask-noise status:finished target={target} masks={masks}"
            runs = vld.runs(where, sort="seed", home=asked.home)
            if runs:
                found = describe((ood_accuracies(asked.home, run) for run in runs), accuracy)
                print(f"{target:12} {masks:>5}  {found}")


if __name__ == "__main__":
    main()
