"""The table of whether settings differ out of distribution, and what it would take to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vld_tui.report.tables import CellValue, Points, Probability, Range, Table, TableColumn
from vld_tui.study.bootstrap import MOST_SEEDS, Comparison, compare_settings
from vld_tui.study.intervals import FEW, FEWEST_DRAWN, Interval
from vld_tui.study.outcomes import Outcome

_BOUNDS: Final = ("_low", "_high")
_COLUMNS: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("baseline", "against", right=False, rank=60),
    TableColumn("ood_difference", "OOD change"),
    TableColumn("interval", "95%: seeds, targets", parts=_BOUNDS),
    TableColumn("interval_by", "by", right=False, rank=85),
    TableColumn("bootstrap_interval", "95%: bootstrap", rank=40, parts=_BOUNDS),
    TableColumn("seeds_interval", "95%: seeds alone", rank=50, parts=_BOUNDS),
    TableColumn("p", "p", rank=90),
    TableColumn("targets", "targets", rank=30),
    TableColumn("seeds", "seeds", rank=70),
    TableColumn("more_seeds", "more seeds", rank=80),
)
_PAIRED: Final = (
    "Runs are paired by target, cell and seed. 95% over seeds and targets: of other targets with "
    "other seeds, by Student's t over the means of targets, and beside it by a paired bootstrap, "
    f"studentised, of targets and the seeds within them (from {FEWEST_DRAWN} targets on). 95% over "
    "seeds alone: of these targets, by Student's t over the means of seeds. p belongs to the first "
    "interval, and is no smaller than luck with the signs of so many targets."
)
_MORE_SEEDS: Final = (
    "More seeds: how many would tell a difference of this size on these targets, with 80% power "
    "(paired t test at 5%); they tell nothing of other targets."
)
_FEW_TARGETS: Final = (
    f"Few targets: with fewer than {FEW} the signs alone cannot come to p < 0.05, so p does not, "
    "and the interval holds if the targets' differences are about normal."
)


def differences(results: Sequence[Outcome]) -> Table | None:
    """Return each setting against its baseline; None when there is nothing to compare."""
    found = compare_settings(results)
    if not found:
        return None
    notes = [_PAIRED, _MORE_SEEDS]
    if any(each.interval and each.targets < FEW for each in found):
        notes.append(_FEW_TARGETS)
    if any(each.targets == 1 for each in found):
        notes.append("One target tells nothing of others: there is no interval over targets, no p.")
    if any(each.seeds == 1 for each in found):
        notes.append("Where a target has one seed only, nothing can be told about other seeds.")
    rows = tuple(_row(each) for each in found)
    breaks = tuple(at for at in range(1, len(found)) if found[at].dataset != found[at - 1].dataset)
    title = "Differences out of distribution"
    return Table("differences", title, _COLUMNS, rows, tuple(notes), breaks)


def _row(found: Comparison) -> tuple[CellValue, ...]:
    return (
        found.dataset,
        found.setting.label,
        found.baseline.label,
        Points(found.difference),
        _range(found.interval),
        _told_by(found),
        _range(found.bootstrap_interval),
        _range(found.seeds_interval),
        None if found.p_value is None else Probability(found.p_value),
        found.targets,
        found.seeds,
        _more_seeds(found),
    )


def _told_by(found: Comparison) -> str:
    """Say what the interval over targets is by, or why there is none."""
    if found.targets == 1:
        return "one target"
    if found.interval is None:
        return "one seed"
    return "t" if found.targets >= FEW else "t, few targets"


def _range(interval: Interval | None) -> Range | None:
    return None if interval is None else Range(*interval)


def _more_seeds(found: Comparison) -> CellValue:
    if found.deviation is None:
        return None
    return f">{MOST_SEEDS:,}" if found.more_seeds is None else found.more_seeds
