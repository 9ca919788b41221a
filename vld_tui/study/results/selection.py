"""Choose a hyper-parameter cell, or a setting, for each target: without the target's labels, and,
labelled as such, by an oracle.

For target T: ``id`` is the accuracy on the sources' validation images. ``leave_one_source_out``
is the mean, over the other domains S, of the accuracy on S of runs that trained on neither T nor
S; where runs select their step by another measure, that measure takes the place of accuracy
(Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", 2021). Nothing but the
oracle reads an accuracy on T: as there, that on T's ``out`` split at the last step, so that it
does not choose by the ``in`` split that is reported, and stops no run early by T.

The cloud of a setting in the ID–OOD plane is every way to pick a cell for each target, averaged
over the targets. Zhang & Bottou, "Fine-tuning with Very Large Dropout" (2024), figure 2: six cells
and four targets give 6⁴ = 1,296 points, which is not a number of runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.protocol import MEASURES
from engine.protocol.evaluated import BALANCED
from vld_tui.runs.statistics import Estimate
from vld_tui.study.results.outcomes import (
    ID,
    OOD,
    Cell,
    Outcome,
    Setting,
    criteria,
    grouped,
    in_full,
    mean_accuracies,
    measured,
    settings_of,
    with_ood,
)

Method = Literal["id", "leave_one_source_out", "oracle"]
METHODS: Final[tuple[Method, ...]] = ("id", "leave_one_source_out", "oracle")
ORACLE: Final = "oracle"
METHOD_WORDS: Final[dict[Method, str]] = {
    "id": "ID validation",
    "leave_one_source_out": "leave one source out",
    "oracle": ORACLE,
}

Candidate = tuple[Setting, Cell]
Scores = Mapping[Candidate, float]
Values = npt.NDArray[np.float64]
MOST_WAYS: Final = 2_000_000
"""Maximum number of combinations before a cloud is sampled."""
SAMPLED_WAYS: Final = 100_000
_SAMPLING_SEED: Final = 0


class Choice(NamedTuple):
    """A method's choice for one target and its accuracies: means over seeds at the selected step,
    or, for the oracle, at the last step.

    ``score`` (0 to 1) is of the measure that the runs select their step by. ``candidates`` is the
    number of candidates. ``balanced`` is OOD balanced accuracy at the selected step; None: unknown.
    """

    target: str
    setting: Setting
    cell: Cell
    score: float
    candidates: int
    id_accuracy: float
    ood_accuracy: float
    balanced: float | None = None


class Selection(NamedTuple):
    """A method's choices for every target of a data set.

    ``among`` is the setting whose cells were the candidates; None: settings and cells. ``arm`` is
    the arm of all of them. ``measure`` names what they were compared by, if not accuracy.
    """

    dataset: str
    method: Method
    among: Setting | None
    arm: str | None
    choices: tuple[Choice, ...]
    measure: str = ""

    @property
    def ood_accuracy(self) -> float:
        """Return the mean over targets."""
        return statistics.fmean(each.ood_accuracy for each in self.choices)

    @property
    def id_accuracy(self) -> float:
        """Return the mean over targets."""
        return statistics.fmean(each.id_accuracy for each in self.choices)


def choose_cells(results: Sequence[Outcome]) -> list[Selection]:
    """Return, for each data set and setting, what each method chooses among its cells.

    A method that could not choose for every target is left out, and so are runs without a target:
    what is chosen is shown by its OOD accuracy.
    """
    found = []
    for of_dataset in grouped(with_ood(results), lambda each: each.dataset).values():
        of_setting = grouped(of_dataset, lambda each: each.setting)
        for setting in settings_of(in_full(of_dataset)):
            found += _select(of_setting[setting], setting, setting.arm)
    return found


def choose_settings(results: Sequence[Outcome]) -> list[Selection]:
    """Return, for each data set and arm, what each method chooses among settings and their cells;
    nothing for a single setting. Runs without a target are left out."""
    found = []
    for of_dataset in grouped(with_ood(results), lambda each: each.dataset).values():
        of_arm = grouped(of_dataset, lambda each: each.setting.arm)
        for arm, alike in of_arm.items():
            if len(settings_of(in_full(alike))) > 1:
                found += _select(alike, None, arm)
    return found


def _select(results: Sequence[Outcome], among: Setting | None, arm: str | None) -> list[Selection]:
    full = grouped(in_full(results), lambda each: each.target)
    names = [MEASURES[each.metric].label for each in criteria(results) if each.metric in MEASURES]
    measure, found = ", ".join(names), []
    for method in METHODS:
        choices = [
            choice
            for target, of_target in full.items()
            if (choice := choose(method, target, of_target, results)) is not None
        ]
        if choices and len(choices) == len(full):
            dataset = results[0].dataset
            found.append(Selection(dataset, method, among, arm, tuple(choices), measure))
    return found


def choose(
    method: Method, target: str, of_target: Sequence[Outcome], results: Sequence[Outcome]
) -> Choice | None:
    """Return the candidate with the best score, the first of equals; None when none has one.

    Args:
        method: what to choose by.
        target: the domain to choose for.
        of_target: the results with this target that trained on every source.
        results: all of the data set, among them those that held out a source.
    """
    scores = scores_by(method, target, of_target, results)
    if not scores:
        return None
    best = max(scores, key=lambda candidate: scores[candidate])
    alike = [each for each in of_target if (each.setting, each.cell) == best]
    if method == ORACLE:
        return Choice(target, *best, scores[best], len(scores), *last_accuracies(alike))
    balanced = measured(BALANCED)[1].estimate(alike)
    reached = mean_accuracies(alike)
    mean = balanced and balanced.mean
    return Choice(target, *best, scores[best], len(scores), *reached, balanced=mean)


def scores_by(
    method: Method, target: str, of_target: Sequence[Outcome], results: Sequence[Outcome]
) -> Scores:
    """Return the score of each candidate that has one, averaged over seeds.

    ID accuracies of other images are no scores of one another; nor are runs compared whose steps
    were selected by different measures.
    """
    candidates = grouped(of_target, lambda each: (each.setting, each.cell))
    if len(criteria(of_target)) > 1:
        return {}
    if method == "id" and len({setting.measured_on for setting, _ in candidates}) > 1:
        return {}
    if method == "id":
        return _mean_scores(candidates, lambda each: each.id_score)
    if method == ORACLE:
        return oracle_scores(candidates)
    scores = leave_one_source_out_scores(target, results)
    return {candidate: scores[candidate] for candidate in candidates if candidate in scores}


def oracle_scores(candidates: Mapping[Candidate, Sequence[Outcome]]) -> Scores:
    """Return the accuracy on the target's ``out`` split at the last step, averaged over seeds.

    A candidate with a run of which it is not known has no score.
    """
    return _mean_scores(candidates, lambda each: each.last and each.target_out_score)


def _mean_scores(
    candidates: Mapping[Candidate, Sequence[Outcome]], score: Callable[[Outcome], float | None]
) -> Scores:
    """Return the mean over seeds of candidates of which every seed has a score."""
    scores = {}
    for candidate, seeds in candidates.items():
        known = [value for each in seeds if (value := score(each)) is not None]
        if len(known) == len(seeds):
            scores[candidate] = statistics.fmean(known)
    return scores


def last_accuracies(results: Sequence[Outcome]) -> tuple[float, float]:
    """Return the mean ID and OOD accuracy at the last step, of results that have it."""
    last = [each.last for each in results if each.last is not None]
    return (
        statistics.fmean(each.id_accuracy for each in last),
        statistics.fmean(each.ood_accuracy for each in last),
    )


def leave_one_source_out_scores(target: str, results: Sequence[Outcome]) -> Scores:
    """Return, for each candidate, the mean over sources of the accuracy on each by runs that
    trained neither on it nor on ``target``.

    A candidate without a run for one of the sources has no score: means over different sources
    cannot be compared.
    """
    accuracies: dict[Candidate, dict[str, list[float]]] = {}
    sources = set()
    for each in results:
        left_out = {each.target, each.held_out_source}
        if each.held_out_source is None:
            if each.target == target:
                sources |= each.domains.keys() - left_out
            continue
        if target not in left_out or len(left_out) < 2:
            continue
        (source,) = left_out - {target}
        if source in each.domain_scores:
            sources.add(source)
            of_source = accuracies.setdefault((each.setting, each.cell), {})
            of_source.setdefault(source, []).append(each.domain_scores[source])
    return {
        candidate: statistics.fmean(map(statistics.fmean, of_source.values()))
        for candidate, of_source in accuracies.items()
        if of_source.keys() == sources
    }


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
