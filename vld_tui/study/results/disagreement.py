"""Settings of which one is better by accuracy and another by class-balanced accuracy.

Accuracy counts frequent classes more. Where target and sources have the same frequent classes, a
setting that leans towards them gains accuracy without recognising more classes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.protocol.evaluated import BALANCED
from vld_tui.runs.statistics import estimate
from vld_tui.study.results.inference import (
    find_baseline,
    measured_by,
    pair_up,
    paired_changes,
    paired_differences,
)
from vld_tui.study.results.outcomes import (
    OOD,
    Outcome,
    Quantity,
    Setting,
    grouped,
    in_full,
    measured,
    settings_of,
    with_ood,
)

_BALANCED: Final = measured(BALANCED)[1]
LEAST_GAP: Final = 0.01
"""Smallest difference between the two changes that counts with too few seeds for an interval."""


class Disagreement(NamedTuple):
    """A setting that is better than another by one measure of OOD, and worse by the other.

    ``accuracy`` and ``balanced`` are its changes of OOD accuracy and OOD balanced accuracy, as
    shares, over the runs that both settings have; ``seeds`` is their number of seeds.
    """

    dataset: str
    target: str
    setting: Setting
    baseline: Setting
    accuracy: float
    balanced: float
    seeds: int


def disagreements(results: Sequence[Outcome]) -> list[Disagreement]:
    """Return the disagreements on each target: of settings with their baselines, and of the best
    setting by either measure.

    The two changes must have opposite signs, and differ by more than chance: the 95% interval over
    seeds of their paired difference (Student's t) excludes zero. Both are measured on the same
    predictions, so this interval is narrower than that of either change. With fewer seeds than an
    interval needs, they must differ by at least :data:`LEAST_GAP`.
    """
    known = [each for each in with_ood(in_full(results)) if _BALANCED.of(each) is not None]
    found = []
    for of_target in grouped(known, lambda each: (each.dataset, each.target)).values():
        of_setting = grouped(of_target, lambda each: each.setting)
        for setting, baseline in dict.fromkeys(_pairs(of_setting)):
            each = _compare(of_setting[baseline], of_setting[setting])
            if each is not None:
                found.append(each)
    return found


def _pairs(of_setting: Mapping[Setting, Sequence[Outcome]]) -> Iterator[tuple[Setting, Setting]]:
    """Yield pairs of a setting and what it is compared with."""
    settings = settings_of(each for alike in of_setting.values() for each in alike)
    for setting in settings:
        if (baseline := find_baseline(setting, settings)) != setting:
            yield setting, baseline
    best, best_balanced = (_best(of_setting, settings, quantity) for quantity in (OOD, _BALANCED))
    is_baseline = find_baseline(best_balanced, settings) == best
    if best != best_balanced and not is_baseline:  # else it is compared above
        yield best, best_balanced


def _best(
    of_setting: Mapping[Setting, Sequence[Outcome]], settings: Sequence[Setting], quantity: Quantity
) -> Setting:
    """Return the setting with the highest mean, the first of equals."""
    means = {each: quantity.estimate(of_setting[each]) for each in settings}
    return max(settings, key=lambda each: found.mean if (found := means[each]) else 0.0)


def _compare(baseline: Sequence[Outcome], others: Sequence[Outcome]) -> Disagreement | None:
    """Return how the two settings disagree on one target; None: they do not."""
    target = baseline[0].target
    by_balanced = (measured_by(each, _BALANCED) for each in (baseline, others))
    pairs = pair_up(baseline, others), pair_up(*by_balanced)
    if not pairs[0]:
        return None
    accuracy, balanced = (paired_changes(each)[target][1] for each in pairs)
    of_seed, balanced_of_seed = (paired_differences(each)[target] for each in pairs)
    gaps = [change - balanced_of_seed[seed] for seed, change in of_seed.items()]
    if accuracy * balanced >= 0 or not _is_beyond_chance(gaps):
        return None
    return Disagreement(
        baseline[0].dataset, target, others[0].setting, baseline[0].setting, accuracy, balanced,
        len(gaps),
    )  # fmt: skip


def _is_beyond_chance(gaps: Sequence[float]) -> bool:
    found = estimate(gaps)
    half = None if found is None else found.half_interval
    return abs(statistics.fmean(gaps)) > (LEAST_GAP if half is None else half)
