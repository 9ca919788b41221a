"""Choose a hyper-parameter cell, or a setting, for each target: without the target's labels, and,
labelled as such, by an oracle.

For target T: ``id`` is the accuracy on the sources' validation images. ``leave_one_source_out``
is the mean, over the other domains S, of the accuracy on S of runs that trained on neither T nor
S (Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", 2021). Nothing but the
oracle reads an accuracy on T: as there, that on T's ``out`` split at the last step, so that it
does not choose by the ``in`` split that is reported, and stops no run early by T.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from vld_tui.study.results.outcomes import (
    Cell,
    Outcome,
    Setting,
    grouped,
    in_full,
    mean_accuracies,
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


class Choice(NamedTuple):
    """A method's choice for one target and its accuracies: means over seeds at the selected step,
    or, for the oracle, at the last step.

    ``score`` (0 to 1) is the criterion. ``candidates`` is the number of candidates.
    """

    target: str
    setting: Setting
    cell: Cell
    score: float
    candidates: int
    id_accuracy: float
    ood_accuracy: float


class Selection(NamedTuple):
    """A method's choices for every target of a data set.

    ``among`` is the setting whose cells were the candidates; None: settings and cells. ``arm`` is
    the arm of all of them.
    """

    dataset: str
    method: Method
    among: Setting | None
    arm: str | None
    choices: tuple[Choice, ...]

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
    found = []
    for method in METHODS:
        choices = [
            choice
            for target, of_target in full.items()
            if (choice := choose(method, target, of_target, results)) is not None
        ]
        if choices and len(choices) == len(full):
            dataset = results[0].dataset
            found.append(Selection(dataset, method, among, arm, tuple(choices)))
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
    reached = last_accuracies(alike) if method == ORACLE else mean_accuracies(alike)
    return Choice(target, *best, scores[best], len(scores), *reached)


def scores_by(
    method: Method, target: str, of_target: Sequence[Outcome], results: Sequence[Outcome]
) -> Scores:
    """Return the score of each candidate that has one, averaged over seeds.

    ID accuracies of other images are no scores of one another.
    """
    candidates = grouped(of_target, lambda each: (each.setting, each.cell))
    if method == "id" and len({setting.measured_on for setting, _ in candidates}) > 1:
        return {}
    if method == "id":
        return {
            candidate: statistics.fmean(each.id_accuracy for each in seeds)
            for candidate, seeds in candidates.items()
        }
    if method == ORACLE:
        return oracle_scores(candidates)
    scores = leave_one_source_out_scores(target, results)
    return {candidate: scores[candidate] for candidate in candidates if candidate in scores}


def oracle_scores(candidates: Mapping[Candidate, Sequence[Outcome]]) -> Scores:
    """Return the accuracy on the target's ``out`` split at the last step, averaged over seeds.

    A candidate with a run of which it is not known has no score.
    """
    scores = {}
    for candidate, seeds in candidates.items():
        last = [each.last for each in seeds if each.last is not None]
        if len(last) == len(seeds):
            scores[candidate] = statistics.fmean(each.target_out_accuracy for each in last)
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
        if source in each.domains:
            sources.add(source)
            of_source = accuracies.setdefault((each.setting, each.cell), {})
            of_source.setdefault(source, []).append(each.domains[source])
    return {
        candidate: statistics.fmean(map(statistics.fmean, of_source.values()))
        for candidate, of_source in accuracies.items()
        if of_source.keys() == sources
    }
