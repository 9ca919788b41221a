"""Choose a setting by the domains that runs left out of training, one in turn.

The score of a setting on a domain is that of its runs that did not train on the domain. Settings
are compared by paired differences: of the same domain and seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from engine.protocol.selection import CRITERIA
from vld_tui.runs.statistics import FEWEST, Estimate
from vld_tui.study.define.tuning import PAPER_RATE
from vld_tui.study.results.inference import NO_SPREAD, Bounds, Comparison, compare_pair
from vld_tui.study.results.outcomes import (
    ID,
    OOD,
    Outcome,
    Quantity,
    Setting,
    grouped,
    in_full,
    settings_of,
    with_ood,
)

Reason = Literal["only", "best", "paper", "id"]
Verdict = Literal["best", "tied", "worse"]


class SettingScore(NamedTuple):
    """The scores of a setting, from 0 to 1: means over the left-out domains and seeds.

    ``id_score`` is on validation images of the domains that were trained on. ``difference`` is the
    score less that of the best setting, with its 95% interval over seeds (Student's t) and over
    domains; None: unknown. ``of_domain`` has the mean over seeds on each left-out domain.
    """

    setting: Setting
    score: Estimate
    id_score: Estimate
    of_domain: Mapping[str, float]
    difference: float
    interval: Bounds | None
    domains_interval: Bounds | None
    verdict: Verdict


class TunedSetting(NamedTuple):
    """The chosen setting among ``scores``.

    ``reason``: it was the ``only`` one or the ``best``; or among those that cannot be distinguished
    from the best, the ``paper``'s rate or the one with the best ``id`` score. ``measure`` names
    what the scores are of.
    """

    dataset: str
    measure: str
    domains: tuple[str, ...]
    scores: tuple[SettingScore, ...]
    chosen: SettingScore
    reason: Reason

    @property
    def values(self) -> dict[str, Any]:
        """Return the values of the chosen setting by field."""
        return dict(self.chosen.setting.values)

    @property
    def best(self) -> SettingScore:
        """Return the setting with the best score."""
        return next(each for each in self.scores if each.verdict == "best")

    @property
    def tied(self) -> tuple[SettingScore, ...]:
        """Return the settings that cannot be distinguished from the best, including it."""
        return tuple(each for each in self.scores if each.verdict != "worse")


def tuned_setting(results: Sequence[Outcome]) -> TunedSetting:
    """Return the choice among the settings of runs that each left out one domain of a data set.

    Of the best setting and those that cannot be distinguished from it (the interval over seeds of
    the difference contains zero, or is unknown), one with the paper's dropout rate is chosen, else
    the one with the best ID score.

    Raises:
        ValueError: when there are no such results.
    """
    of_setting = grouped(
        [_scored(each) for each in with_ood(in_full(results)) if each.setting.arm is None],
        lambda each: each.setting,
    )
    if not of_setting:
        raise ValueError("no results of runs that left out a domain")
    in_order = settings_of(each for alike in of_setting.values() for each in alike)
    best = max(in_order, key=lambda setting: _mean(OOD, of_setting[setting]).mean)
    scores = tuple(_score(of_setting[best], of_setting[setting]) for setting in in_order)
    tied = [each for each in scores if each.verdict != "worse"]
    as_paper = [each for each in tied if each.setting.value("dropout_rate") == PAPER_RATE]
    chosen = max(as_paper or tied, key=lambda each: each.id_score.mean)
    reason: Reason = "paper" if as_paper else "id"
    if len(tied) == 1:
        reason = "only" if len(scores) == 1 else "best"
    first = of_setting[best]
    domains = tuple(dict.fromkeys(each.target for each in first))
    measure = CRITERIA[first[0].selected_on].metric.replace("_", " ")
    return TunedSetting(first[0].dataset, measure, domains, scores, chosen, reason)


def _scored(each: Outcome) -> Outcome:
    """Return the outcome with the measure that selects its step in place of accuracy."""
    if each.scores is None:
        return each
    scores = each.domain_scores
    return msgspec.structs.replace(
        each,
        ood_accuracy=scores.get(each.target, each.ood_accuracy),
        id_accuracy=each.id_accuracy if each.id_score is None else each.id_score,
    )


def _mean(quantity: Quantity, alike: Sequence[Outcome]) -> Estimate:
    if (found := quantity.estimate(alike)) is None:
        raise ValueError("a setting needs at least one result")
    return found


def _is_worse(compared: Comparison) -> bool:
    """Return whether a setting is worse: its interval is below 0, or every seed shows the same."""
    if compared.seeds_interval is not None:
        return compared.seeds_interval[1] < 0
    has_enough = compared.has_equal_seeds and compared.shared_seeds >= FEWEST
    return has_enough and compared.difference < -NO_SPREAD


def _score(best: Sequence[Outcome], alike: Sequence[Outcome]) -> SettingScore:
    compared = None if alike is best else compare_pair(best, alike)
    verdict: Verdict = "tied"
    if alike is best:
        verdict = "best"
    elif compared is not None and _is_worse(compared):
        verdict = "worse"
    of_domain = {
        domain: statistics.fmean(each.ood_accuracy or 0.0 for each in found)
        for domain, found in grouped(alike, lambda each: each.target).items()
    }
    return SettingScore(
        setting=alike[0].setting,
        score=_mean(OOD, alike),
        id_score=_mean(ID, alike),
        of_domain=of_domain,
        difference=0.0 if compared is None else compared.difference,
        interval=compared and compared.seeds_interval,
        domains_interval=compared and compared.interval,
        verdict=verdict,
    )
