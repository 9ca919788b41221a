"""The arithmetic of the paper's figures and of DomainBed's selection, in our own words.

The cloud of points: Zhang & Bottou, arXiv 2403.00946, figure 2. Selection:
facebookresearch/DomainBed, ``domainbed/model_selection.py``. NumPy and SciPy only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]


class Run(NamedTuple):
    """A simulated run: its setting and its accuracies.

    ``domains``: accuracy on each domain. ``last_out`` and ``last_in`` are of the
    target's splits at the last step.
    """

    target: str
    left_out_source: str | None
    rate: float
    cell: tuple[float, float]
    seed: int
    id_accuracy: float
    ood_accuracy: float
    last_in: float
    last_out: float
    domains: dict[str, float]


def by_cell(runs: Iterable[Run], value: Callable[[Run], float]) -> dict[str, dict[object, float]]:
    """Return the mean over seeds of a value, by target and cell."""
    found: dict[str, dict[object, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        found[run.target][run.cell].append(value(run))
    return {
        target: {cell: float(np.mean(values)) for cell, values in cells.items()}
        for target, cells in found.items()
    }


def points(runs: Sequence[Run], value: Callable[[Run], float]) -> Values:
    """Return the mean over targets for all 6⁴ = 1,296 ways to pick a cell for each."""
    of_target = by_cell(runs, value).values()
    ways = itertools.product(*(cells.values() for cells in of_target))
    return np.array([np.mean(way) for way in ways])


def centre(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    """Return the mean of all points."""
    return float(points(runs, value).mean())


def half_interval(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    """Return half the 95% interval of the centre over seeds."""
    seeds = sorted({run.seed for run in runs})
    means = [np.mean([value(run) for run in runs if run.seed == seed]) for seed in seeds]
    low, high = stats.t.interval(0.95, len(means) - 1, np.mean(means), stats.sem(means))
    return float(high - low) / 2


def chosen(
    runs: Sequence[Run], score: dict[str, dict[object, float]], value: Callable[[Run], float]
) -> dict[str, float]:
    """Return, for each target, a value of the cell with the best score."""
    reached = by_cell(runs, value)
    return {
        target: reached[target][max(cells, key=lambda cell: cells[cell])]
        for target, cells in score.items()
    }


def leave_one_source_out(
    runs: Sequence[Run], held_out: Sequence[Run]
) -> dict[str, dict[object, float]]:
    """Return the scores of ``LeaveOneOutSelectionMethod``.

    They are the mean, over the other domains, of the accuracy on each by the runs that left out
    both it and the target.
    """
    targets = sorted({run.target for run in runs})
    scores: dict[str, dict[object, float]] = {}
    for target in targets:
        of_cell: dict[object, list[float]] = defaultdict(list)
        for source, cell in itertools.product(targets, {run.cell for run in runs}):
            found = [
                run.domains[source]
                for run in held_out
                if {run.target, run.left_out_source} == {target, source} and run.cell == cell
            ]
            of_cell[cell] += [float(np.mean(found))] if found else []
        scores[target] = {cell: float(np.mean(values)) for cell, values in of_cell.items()}
    return scores


def difference(before: Sequence[Run], after: Sequence[Run]) -> tuple[float, tuple[float, float]]:
    """Return the mean paired OOD difference, and its 95% interval over seeds."""
    paired = {(run.target, run.cell, run.seed): run.ood_accuracy for run in before}
    of_seed: dict[int, list[float]] = defaultdict(list)
    for run in after:
        of_seed[run.seed].append(run.ood_accuracy - paired[run.target, run.cell, run.seed])
    means = [float(np.mean(values)) for values in of_seed.values()]
    low, high = stats.t.interval(0.95, len(means) - 1, np.mean(means), stats.sem(means))
    return float(np.mean(means)), (float(low), float(high))
