"""The table of whether settings differ out of distribution, and what it would take to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vld_tui.report.tables import CellValue, Points, Probability, Range, Table, TableColumn
from vld_tui.study.bootstrap import FEW_SEEDS, MOST_SEEDS, Comparison, Interval, compare_settings
from vld_tui.study.outcomes import Outcome

_BOUNDS: Final = ("_low", "_high")
_COLUMNS: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("baseline", "against", right=False, rank=60),
    TableColumn("ood_difference", "OOD change"),
    TableColumn("interval", "95%: seeds, targets", parts=_BOUNDS),
    TableColumn("seeds_interval", "95%: seeds alone", rank=50, parts=_BOUNDS),
    TableColumn("p", "p", rank=90),
    TableColumn("targets", "targets", rank=30),
    TableColumn("seeds", "seeds", rank=70),
    TableColumn("more_seeds", "more seeds", rank=80),
)


def differences(results: Sequence[Outcome]) -> Table | None:
    """Return each setting against its baseline; None when there is nothing to compare."""
    found = compare_settings(results)
    if not found:
        return None
    notes = [
        "Runs are paired by target, cell and seed; 95% percentile intervals of a paired "
        "bootstrap over seeds and targets, and over seeds with these targets. p belongs to the "
        "first, and is no smaller than luck with the signs of so many pairs.",
        "More seeds: how many would tell a difference of this size with 80% power (paired t "
        "test at 5%).",
    ]
    fewest = min(each.seeds for each in found)
    if fewest == 1:
        notes.append("Where a target has one seed only, nothing can be told about other seeds.")
    elif fewest < FEW_SEEDS:
        notes.append(f"With {fewest} seeds a bootstrap's intervals come out too narrow.")
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
        _range(found.seeds_interval),
        None if found.p_value is None else Probability(found.p_value),
        found.targets,
        found.seeds,
        _more_seeds(found),
    )


def _range(interval: Interval | None) -> Range | None:
    return None if interval is None else Range(*interval)


def _more_seeds(found: Comparison) -> CellValue:
    if found.deviation is None:
        return None
    return f">{MOST_SEEDS:,}" if found.more_seeds is None else found.more_seeds
