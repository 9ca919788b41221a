"""Count the steps that 1, 8, 64 and infinitely many masks need to a given OOD accuracy.

    vld --home HOME sweep benchmarks/mask-noise.toml     # 24 runs; resume with the same command
    python -m benchmarks.mask_noise HOME

The accuracy of a target is the one that a single mask has at the last step, as a mean over seeds.
Prints the first evaluated step at or above it, for each seed in its order, and the OOD accuracy of
the last step, mean ± standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
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


def curves_of(home: Path, target: str, masks: int | str) -> list[dict[int, float]]:
    """Return the OOD accuracies of the runs with a target and a number of masks, by seed."""
    where = f"tag:mask-noise status:finished target={target} masks={masks}"
    return [ood_accuracies(home, run) for run in vld.runs(where, sort="seed", home=home)]


def reached(accuracies: Mapping[int, float], accuracy: float) -> str:
    """Return the first step at or above an accuracy as text."""
    steps = (step for step, value in sorted(accuracies.items()) if value >= accuracy)
    return str(next(steps, "–"))


def last_accuracies(curves: Sequence[Mapping[int, float]]) -> list[float]:
    """Return the accuracy at the last step of each run."""
    return [curve[max(curve)] for curve in curves]


def describe(curves: Sequence[Mapping[int, float]], accuracy: float) -> str:
    """Return the steps to an accuracy and the last accuracies of several seeds as text."""
    steps = ", ".join(reached(curve, accuracy) for curve in curves)
    last = [100 * value for value in last_accuracies(curves)]
    spread = f" ± {statistics.stdev(last):.1f}" if len(last) > 1 else ""
    return f"{steps:20}  {statistics.fmean(last):.1f}{spread}"


def main() -> None:
    """Print a line for each target and number of masks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    home: Path = parser.parse_args().home
    print(f"{'target':12} {'masks':>5}  {'steps of each seed':20}  OOD % at the last step")
    for target in TARGETS:
        curves = {masks: curves_of(home, target, masks) for masks in MASKS}
        if missing := [str(masks) for masks, found in curves.items() if not found]:
            print(f"{target}: no finished run with {', '.join(missing)} masks")
            continue
        accuracy = statistics.fmean(last_accuracies(curves[1]))
        for masks, found in curves.items():
            print(f"{target:12} {masks:>5}  {describe(found, accuracy)}")
        print(f"{target}: steps to {accuracy:.1%}")


if __name__ == "__main__":
    main()
