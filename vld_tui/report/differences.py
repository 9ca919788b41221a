"""Table of OOD differences between settings, and the seeds needed to show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vld_tui.report.tables import (
    Absent,
    CellValue,
    PercentagePoints,
    Probability,
    Range,
    Table,
    TableColumn,
)
from vld_tui.runs.statistics import FEWEST
from vld_tui.study.results.inference import FEW, MOST_SEEDS, Bounds, Comparison, compare_settings
from vld_tui.study.results.outcomes import Outcome, share_one_split
from vld_tui.words.numbers import plural

_BOUNDS: Final = ("_low", "_high")
OVER_SEEDS: Final = (
    "95% over seeds: the change on {these} with other seeds, by Student's t over the paired "
    f"differences of the seeds that every target has (at least {FEWEST}). It does not cover other "
    "targets."
)
OVER_TARGETS: Final = (
    "95% over targets: the change on other targets, by Student's t over the targets' means (at "
    f"least {FEWEST} targets). Caution: targets that are left out in turn share their sources and "
    "are not independent, so it is too narrow. If differences were correlated by 0.5 between "
    "targets, or if only one target in four was a real shift, it missed the true value in 24% of "
    "simulated studies of 4 targets instead of 5%."
)
_EQUAL_SEEDS: Final = "seeds do not differ"
_EQUAL_TARGETS: Final = "targets do not differ"
EQUAL: Final = (
    "If all seeds, or all targets, have the same change, the interval and p are missing: the "
    "spread of others cannot be estimated."
)
ONE_SPLIT: Final = "All seeds use one split (trial_seed is set): other splits are not covered."
_MORE_SEEDS: Final = (
    "More seeds: how many would detect a difference of this size on these targets with 80% power "
    "(paired t test at 5%). With 2 or 3 seeds it is a rough estimate. More seeds do not help for "
    "other targets."
)
_FEW_TARGETS: Final = (
    f"Few targets: with fewer than {FEW}, p over targets cannot be below 0.05, even unadjusted."
)


def differences(results: Sequence[Outcome]) -> Table | None:
    """Return each setting against its baseline, or None without a comparison."""
    found = compare_settings(results)
    if not found:
        return None
    return Table(
        "differences",
        "Differences out of distribution",
        _columns(found),
        tuple(_row(each) for each in found),
        tuple(_notes(found, share_one_split(results))),
        tuple(at for at in range(1, len(found)) if found[at].dataset != found[at - 1].dataset),
    )


def _columns(found: Sequence[Comparison]) -> tuple[TableColumn, ...]:
    """Return the columns, with the interval of correct coverage first."""
    return (
        TableColumn("dataset", "data set", right=False),
        TableColumn("setting", "setting", right=False),
        TableColumn("baseline", "against", right=False, rank=60),
        TableColumn("ood_difference", "OOD change"),
        TableColumn("seeds_interval", f"95% over seeds, {_these(found)}", parts=_BOUNDS),
        TableColumn("seeds_interval_by", "", for_scripts=True),
        TableColumn("seeds_p", "p, seeds", rank=55),
        TableColumn("seeds_p_adjusted", "adjusted p, seeds", rank=90),
        TableColumn("interval", "95% over targets (caution)", rank=75, parts=_BOUNDS),
        TableColumn("interval_by", "", for_scripts=True),
        TableColumn("bootstrap_interval", "", parts=_BOUNDS, for_scripts=True),
        TableColumn("p", "p, targets", rank=40),
        TableColumn("p_adjusted", "adjusted p, targets", rank=45),
        TableColumn("comparisons", "", for_scripts=True),
        TableColumn("targets", "targets", rank=30),
        TableColumn("seeds", "seeds", rank=70),
        TableColumn("more_seeds", "more seeds", rank=80),
    )


def _these(found: Sequence[Comparison]) -> str:
    """Return the targets that were run, as text."""
    counts = {each.targets for each in found}
    if counts == {1}:
        return "this target"
    return f"these {counts.pop()} targets" if len(counts) == 1 else "these targets"


def _notes(found: Sequence[Comparison], has_one_split: bool) -> Iterator[str]:
    yield "Runs are paired by target, cell and seed."
    if any(each.seeds_interval for each in found):
        yield OVER_SEEDS.format(these=_these(found)) + (f" {ONE_SPLIT}" if has_one_split else "")
    if any(1 < each.shared_seeds < FEWEST for each in found):
        yield f"An interval over seeds needs at least {FEWEST} seeds, not 2."
    if any(_lacks_spread(each) for each in found):
        yield EQUAL
    if any(each.interval for each in found):
        yield OVER_TARGETS
    if any(each.interval or each.seeds_interval for each in found):
        yield _family(found)
    if any(each.interval and each.targets < FEW for each in found):
        yield _FEW_TARGETS
    yield _MORE_SEEDS
    if any(each.targets == 1 for each in found):
        yield "With one target, an interval and p over targets are not possible."
    if any(each.targets == 2 for each in found):
        yield f"An interval over targets needs at least {FEWEST} targets, not 2."
    if any(each.seeds == 1 for each in found):
        yield "For a target with one seed, the spread over seeds is unknown."


def _family(found: Sequence[Comparison]) -> str:
    """Describe how p-values are adjusted."""
    families = {each.dataset: each.comparisons for each in found}
    counts = "; ".join(
        f"{plural(count, 'comparison')} on {name}" for name, count in families.items()
    )
    return (
        "Each p belongs to the interval before it (same t test); p over targets is at least "
        "2 × (1/2)^T for T targets, the sign-test limit. Adjusted p uses Holm's method over all "
        f"comparisons on a data set (a family): {counts}. Intervals are not adjusted."
    )


def _row(found: Comparison) -> tuple[CellValue, ...]:
    over_seeds, over_targets = _seeds_interval_by(found), _interval_by(found)
    return (
        found.dataset,
        found.setting.label,
        found.baseline.label,
        PercentagePoints(found.difference),
        _range(found.seeds_interval, over_seeds),
        over_seeds,
        _probability(found.seeds_p_value),
        _probability(found.seeds_p_adjusted),
        _range(found.interval, over_targets),
        over_targets,
        None if found.bootstrap_interval is None else Range(*found.bootstrap_interval),
        _probability(found.p_value),
        _probability(found.p_adjusted),
        found.comparisons,
        found.targets,
        found.seeds,
        _more_seeds(found),
    )


def _seeds_interval_by(found: Comparison) -> str:
    """Return the basis of the interval over seeds, or why it is missing."""
    if found.seeds_interval is not None:
        return "t"
    if found.seeds == 1:
        return "one seed"
    if found.shared_seeds == 0:
        return "no seed shared by all targets"
    if found.shared_seeds >= FEWEST:
        return _EQUAL_SEEDS
    return f"{plural(found.shared_seeds, 'seed')}: too few"


def _interval_by(found: Comparison) -> str:
    """Return the basis of the interval over targets, or why it is missing."""
    if found.targets == 1:
        return "one target"
    if found.targets < FEWEST:
        return f"{found.targets} targets: too few"
    if found.seeds == 1:
        return "one seed"
    if found.interval is None:
        return _EQUAL_TARGETS
    return "t" if found.targets >= FEW else "t, few targets"


def _lacks_spread(found: Comparison) -> bool:
    """Return whether an interval is missing because its values do not differ."""
    return _seeds_interval_by(found) == _EQUAL_SEEDS or _interval_by(found) == _EQUAL_TARGETS


def _range(interval: Bounds | None, reason: str) -> Range | Absent:
    return Absent(reason) if interval is None else Range(*interval)


def _probability(value: float | None) -> Probability | None:
    return None if value is None else Probability(value)


def _more_seeds(found: Comparison) -> CellValue:
    if found.deviation is None or found.has_equal_seeds:
        return None
    return f">{MOST_SEEDS:,}" if found.more_seeds is None else found.more_seeds
