"""Tables of what each selection method chooses, and its gap to the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engine.protocol.measures import ACCURACY
from vld_tui.report.accuracy import OTHER_IMAGES, OTHER_MEASURES
from vld_tui.report.tables import CellValue, PercentagePoints, Share, Table, TableColumn
from vld_tui.study.results.outcomes import Design, Outcome, criteria, grouped, in_full, with_ood
from vld_tui.study.results.selection import (
    METHOD_WORDS,
    METHODS,
    ORACLE,
    Choice,
    Selection,
    choose_cells,
    choose_settings,
)

NO_HELD_OUT_SOURCES: Final = (
    "No run has a held-out source. Set leave_one_source_out = true in the study to choose "
    "settings by accuracy on held-out sources."
)
_ORACLE_NOTE: Final = (
    "The oracle is not a usable method: it selects on target accuracy, which is unavailable in "
    "practice. As in DomainBed, it uses the 20% of the target that is not reported, at the last "
    "step. Its ID and OOD are at the last step, those of the methods at the selected step, so a "
    "gap can be negative."
)
_NO_INTERVALS: Final = (
    "Means over seeds without intervals: with other seeds a method may choose differently."
)
_BY_BALANCED: Final = (
    "Runs that select their step by balanced accuracy are chosen by it as well: ID validation, "
    "held-out sources and the oracle compare balanced accuracies."
)
NO_ORACLE: Final = (
    "The oracle is missing where accuracy on the target's out split at the last step is unknown."
)
_GAP: Final = f"gap: {ORACLE} − "
CHOICE_COLUMNS: Final = "among,method,"
"""First columns of the CSV of each data set's choices."""
_CHOICES: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("target", "target", right=False),
    TableColumn("among", "chosen among", right=False),
    TableColumn("method", "chosen by", right=False),
    TableColumn("setting", "setting", right=False),
    TableColumn("cell", "cell", right=False),
    TableColumn("score", "score %"),
    TableColumn("id_accuracy", "ID %"),
    TableColumn("ood_accuracy", "OOD %"),
    TableColumn("ood_balanced_accuracy", "OOD balanced %", rank=30),
    TableColumn("candidates", "of"),
)


def choice_tables(results: Sequence[Outcome], design: Design) -> list[Table]:
    """Return each data set's tables of chosen cells and settings, then the table of all choices."""
    of_cells, of_settings = choose_cells(results), choose_settings(results)
    has_cells = any(choice.candidates > 1 for each in of_cells for choice in each.choices)
    of_cells = of_cells if has_cells else []
    notes: tuple[str, ...] = (_NO_INTERVALS, _ORACLE_NOTE)
    if any(criterion.metric != ACCURACY for criterion in criteria(results)):
        notes += (_BY_BALANCED,)
    if not any(each.method == "leave_one_source_out" for each in of_cells + of_settings):
        notes += (NO_HELD_OUT_SOURCES,)
    if len({each.setting.measured_on for each in results}) > 1:
        notes += (OTHER_IMAGES,)
    if len(criteria(results)) > 1:
        notes += (OTHER_MEASURES,)
    if any(each.last is None for each in with_ood(in_full(results))):
        notes += (NO_ORACLE,)
    tables = []
    for dataset, found in grouped(of_cells, lambda each: each.dataset).items():
        title = f"Choice of a cell for each target: OOD % on {dataset}"
        tables.append(_pivot(f"cells-{dataset}", title, found, notes, lambda _: ""))
    for dataset, found in grouped(of_settings, lambda each: each.dataset).items():
        title = f"Choice of the setting for each target: OOD % on {dataset}"
        tables.append(_pivot(f"settings-{dataset}", title, found, notes, _setting_words))
    if of_cells or of_settings:
        rows = [row for each in of_cells + of_settings for row in _rows(each, design)]
        rows = [row for alike in grouped(rows, lambda row: row[:2]).values() for row in alike]
        title = "All choices"
        tables.append(Table("choices", title, _CHOICES, tuple(rows), notes))
    return tables


def _setting_words(choice: Choice) -> str:
    return choice.setting._replace(arm=None).label


def _method_words(selection: Selection) -> str:
    """Return what a method chooses by, and the measure if it is not accuracy."""
    words = METHOD_WORDS[selection.method]
    return f"{words} ({selection.measure})" if selection.measure else words


def _among(selection: Selection) -> str:
    if selection.among is not None:
        return f"cells of {selection.among.label}"
    return "settings" + (f" · {selection.arm}" if selection.arm else "")


def _pivot(
    name: str,
    title: str,
    selections: Sequence[Selection],
    notes: tuple[str, ...],
    words: Callable[[Choice], str],
) -> Table:
    """Return a table with a column per target, and the gaps to the oracle as rows."""
    targets = list(dict.fromkeys(c.target for each in selections for c in each.choices))
    columns = (
        TableColumn("among", "among", right=False),
        TableColumn("method", "chosen by", right=False),
        *(TableColumn(target, target, rank=50, parts=("", "_chosen")) for target in targets),
        TableColumn("mean", "mean"),
    )
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    for among, alike in grouped(selections, _among).items():
        breaks += [len(rows)] if rows else []
        of_method = {each.method: each for each in alike}
        for method in METHODS:
            if (found := of_method.get(method)) is not None:
                reached = {c.target: Share(c.ood_accuracy, words(c)) for c in found.choices}
                cells = [reached.get(target) for target in targets]
                rows.append((among, _method_words(found), *cells, Share(found.ood_accuracy)))
        for method in METHODS:
            if method != ORACLE and method in of_method and ORACLE in of_method:
                gaps = _gaps(of_method[ORACLE], of_method[method], targets)
                rows.append((among, _GAP + METHOD_WORDS[method], *gaps))
    return Table(name, title, columns, tuple(rows), notes, tuple(breaks))


def _gaps(oracle: Selection, other: Selection, targets: Sequence[str]) -> list[CellValue]:
    best, reached = (
        {choice.target: choice.ood_accuracy for choice in each.choices} for each in (oracle, other)
    )
    gaps: list[CellValue] = [
        PercentagePoints(best[target] - reached[target])
        if target in best and target in reached
        else None
        for target in targets
    ]
    return [*gaps, PercentagePoints(oracle.ood_accuracy - other.ood_accuracy)]


def _rows(selection: Selection, design: Design) -> list[tuple[CellValue, ...]]:
    return [
        (
            selection.dataset, choice.target, _among(selection), _method_words(selection),
            choice.setting.label, design.cell_words(choice.cell), Share(choice.score),
            Share(choice.id_accuracy), Share(choice.ood_accuracy),
            None if choice.balanced is None else Share(choice.balanced), choice.candidates,
        )
        for choice in selection.choices
    ]  # fmt: skip
