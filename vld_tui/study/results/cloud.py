"""The cloud of a setting in the ID–OOD plane: every way to pick a hyper-parameter cell for each
target, averaged over the targets.

Zhang & Bottou, "Fine-tuning with Very Large Dropout" (2024), figure 2: six cells and four targets
give 6⁴ = 1,296 points, which is not a number of runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vld_tui.runs.statistics import Estimate
from vld_tui.study.results.outcomes import (
    ID,
    OOD,
    Outcome,
    Setting,
    grouped,
    in_full,
    mean_accuracies,
    settings_of,
    with_ood,
)

Values = npt.NDArray[np.float64]

MOST_WAYS: Final = 2_000_000
"""Maximum number of combinations before a cloud is sampled."""
SAMPLED_WAYS: Final = 100_000
_SAMPLING_SEED: Final = 0


class Cloud(NamedTuple):
    """A setting's cloud on one data set.

    Accuracies are shares. ``ids`` and ``oods``, (n,) each, are its points; ``ways`` is how many
    there would be in all. ``cells`` counts the cells of each of ``targets``. ``fewest_seeds`` and
    ``most_seeds`` are of a cell of a target. The estimates are of the centre, which is exact even
    where points are sampled; there is none of OOD without a target.
    """

    dataset: str
    setting: Setting
    targets: tuple[str, ...]
    cells: tuple[int, ...]
    runs: int
    fewest_seeds: int
    most_seeds: int
    ways: int
    ids: Values
    oods: Values
    id_estimate: Estimate
    ood_estimate: Estimate | None

    @property
    def id_accuracy(self) -> float:
        """Return that of the centre."""
        return self.id_estimate.mean

    @property
    def ood_accuracy(self) -> float:
        """Return that of the centre; NaN without a target."""
        return math.nan if self.ood_estimate is None else self.ood_estimate.mean

    @property
    def is_sampled(self) -> bool:
        """Return whether the points are a sample."""
        return len(self.ids) < self.ways


def clouds(results: Sequence[Outcome]) -> list[Cloud]:
    """Return the cloud of each setting on each data set, without runs with a held-out source or
    without a target."""
    full = with_ood(in_full(results))
    of_setting = grouped(full, lambda each: (each.dataset, each.setting))
    datasets = dict.fromkeys(each.dataset for each in full)
    return [
        make_cloud(of_setting[dataset, setting])
        for dataset in datasets
        for setting in settings_of(full)
        if (dataset, setting) in of_setting
    ]


def make_cloud(results: Sequence[Outcome]) -> Cloud:
    """Return the cloud of one setting's results on one data set; OOD accuracies of results
    without a target are NaN.

    Raises:
        ValueError: when there are none.
    """
    if (id_estimate := ID.estimate(results)) is None:
        raise ValueError("A cloud needs at least one result.")
    of_target = grouped(results, lambda each: each.target)
    of_cell = [grouped(each, lambda one: one.cell) for each in of_target.values()]
    means = [np.array([mean_accuracies(seeds) for seeds in cells.values()]) for cells in of_cell]
    seeds = [len({each.seed for each in alike}) for cells in of_cell for alike in cells.values()]
    points = ways_to_pick(means)
    return Cloud(
        dataset=results[0].dataset,
        setting=results[0].setting,
        targets=tuple(of_target),
        cells=tuple(len(cells) for cells in of_cell),
        runs=len({each.run_id for each in results}),
        fewest_seeds=min(seeds),
        most_seeds=max(seeds),
        ways=math.prod(len(cells) for cells in of_cell),
        ids=points[:, 0],
        oods=points[:, 1],
        id_estimate=id_estimate,
        ood_estimate=OOD.estimate(results),
    )


def ways_to_pick(means: Sequence[Values], most: int = MOST_WAYS) -> Values:
    """Return the mean over targets of every way to pick one row for each of them.

    Args:
        means: for each target (cells, 2): ID and OOD accuracy of each cell.
        most: number of combinations above which they are sampled uniformly.

    Returns:
        (ways, 2), in the order of ``itertools.product``, or drawn with a fixed seed.
    """
    if math.prod(len(cells) for cells in means) > most:
        noise = np.random.default_rng(_SAMPLING_SEED)
        count = min(SAMPLED_WAYS, most)
        drawn = [cells[noise.integers(len(cells), size=count)] for cells in means]
        return np.asarray(np.mean(drawn, axis=0))
    sums = np.zeros((1, 2))
    for cells in means:
        sums = (sums[:, None] + cells[None]).reshape(-1, 2)
    return sums / len(means)


def hull(ids: Values, oods: Values) -> Values:
    """Return the corners of the smallest convex outline, (corners, 2), counter-clockwise.

    Points on one line have no outline: their two ends are returned, or the only point.
    """
    points = np.unique(np.stack([ids, oods], axis=1), axis=0)
    spread = points - points.mean(axis=0)
    if len(points) < 3 or np.linalg.matrix_rank(spread, tol=1e-9) < 2:
        return points[[0, -1]] if len(points) > 1 else points
    from scipy.spatial import ConvexHull, QhullError  # slow to import

    try:
        return np.asarray(points[ConvexHull(points).vertices], dtype=np.float64)
    except QhullError:
        return points[[0, -1]]
