"""Whether diagnostics change with the compared number and predict OOD accuracy."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.protocol.diagnostics import DIAGNOSED, diagnostics_of
from vld_tui.report.canvas import (
    FAINT,
    INK,
    LINES,
    MARKERS,
    FigureFiles,
    Look,
    add_legend,
    files_of,
    looks,
    panels,
    shown,
    style,
)
from vld_tui.report.figures import chain_field
from vld_tui.report.tables import CellValue, Correlation, Table, TableColumn, cell_text
from vld_tui.runs.statistics import RankCorrelation, rank_correlation
from vld_tui.store.fields import shown_name
from vld_tui.study.results.outcomes import (
    DROPOUT_WORD,
    OOD,
    Outcome,
    Quantity,
    Setting,
    grouped,
    in_full,
    known_measures,
    measured,
    settings_of,
    with_ood,
)
from vld_tui.words.numbers import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLE: Final = "diagnostics"
PICTURE: Final = "richness"
FEWEST_RUNS: Final = 3
"""Minimum number of runs with a value for a correlation."""
ROW_INCHES: Final = 2.0
_ENDS: Final = ("", "_low", "_high")
_COLUMNS: Final = (
    TableColumn("dataset", "data set", right=False),
    TableColumn("measure", "diagnostic", right=False),
    TableColumn("with_ood", "ρ with OOD accuracy (95%)", parts=_ENDS),
    TableColumn("with_number", "", parts=_ENDS),
    TableColumn("runs", "runs", rank=60),
    TableColumn("targets", "targets", rank=50),
)


class _Compared(NamedTuple):
    """The compared number, such as λ: its name, and its value in a run."""

    word: str
    of: Quantity


def diagnostics_table(results: Sequence[Outcome]) -> Table | None:
    """Return rank correlations of diagnostics across runs; None if there are none."""
    own = _own(results)
    compared = _compared(own)
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    for dataset, found in grouped(own, lambda each: each.dataset).items():
        breaks += [len(rows)] if rows else []
        for quantity in _quantities(found):
            known = [each for each in found if quantity.of(each) is not None]
            with_ood_accuracy = _correlate(known, quantity, OOD)
            if with_ood_accuracy is None:
                continue
            with_number = compared and _correlate(known, quantity, compared.of)
            targets = len({each.target for each in known})
            cells = (_cell(with_ood_accuracy), _cell(with_number), len(known), targets)
            rows.append((dataset, quantity.heading, *cells))
    if not rows:
        return None
    word = "the compared number" if compared is None else compared.word
    columns = tuple(
        each._replace(heading=f"ρ with {word} (95%)") if each.key == "with_number" else each
        for each in _COLUMNS
    )
    notes = (*_notes(own), *_help(own))
    title = "Diagnostics and OOD accuracy across runs"
    return Table(TABLE, title, columns, tuple(rows), notes, tuple(breaks))


def richness_picture(results: Sequence[Outcome]) -> FigureFiles | None:
    """Draw the diagnostics of richness against the compared number, and OOD accuracy against them.

    None if no three runs of a data set have a value.
    """
    own = _own(results)
    rich = {each.name for one in diagnostics_of("rich") for each in one.measures}
    rows = [
        (dataset, quantity, known)
        for dataset, found in grouped(own, lambda each: each.dataset).items()
        for name in known_measures(found)
        if name in rich
        for quantity in measured(name)[:1]
        if len(known := [each for each in found if quantity.of(each) is not None]) >= FEWEST_RUNS
    ]
    if not rows:
        return None
    compared = _compared(own)
    per_row = 1 if compared is None else 2
    drawn = looks(settings_of([each for _, _, known in rows for each in known]))
    has_several = len({dataset for dataset, _, _ in rows}) > 1
    with style():
        figure, drawings = panels(per_row * len(rows), legend=len(drawn), height=ROW_INCHES)
        places = iter(drawings)
        for dataset, quantity, known in rows:
            name = f"{dataset} · {quantity.heading}" if has_several else quantity.heading
            if compared is not None:
                _draw_along(next(places), known, quantity, compared, drawn)
            axes = next(places)
            _draw_scatter(axes, known, quantity, drawn)
            for each in drawings[: drawings.index(axes) + 1][-per_row:]:
                each.set_title(shown(name) if each is not axes else _title(name, known, quantity))
        add_legend(figure, drawn)
        files = files_of(figure)
    drawn_runs = {each.run_id: each for _, _, known in rows for each in known}
    caption = _caption([*drawn_runs.values()], compared)
    return FigureFiles(PICTURE, _heading(compared), caption, files)


def _own(results: Iterable[Outcome]) -> list[Outcome]:
    """Return the results of the runs' own networks, which diagnostics are of."""
    return [each for each in with_ood(in_full(results)) if each.setting.arm is None]


def _quantities(results: Sequence[Outcome]) -> Iterator[Quantity]:
    """Yield the ID and OOD values of diagnostics that enough runs have."""
    for name in known_measures(results):
        if name in DIAGNOSED:
            for quantity in measured(name):
                if sum(quantity.of(each) is not None for each in results) >= FEWEST_RUNS:
                    yield quantity


def _compared(results: Sequence[Outcome]) -> _Compared | None:
    """Return the number that settings differ in, the dropout rate before any other."""
    field = chain_field([each.setting for each in results])
    if field is None:
        return None
    word = DROPOUT_WORD if field == "dropout_rate" else shown_name(field)

    def value(each: Outcome) -> float | None:
        found = each.setting.value(field)
        return float(found) if isinstance(found, int | float) else None

    return _Compared(word, Quantity(field, word, word, value, None, "number"))


def _correlate(
    results: Sequence[Outcome], first: Quantity, second: Quantity
) -> RankCorrelation | None:
    """Return the rank correlation of two quantities within targets."""
    of_target = grouped(results, lambda each: each.target).values()
    return rank_correlation(
        [
            (x, y)
            for each in alike
            if (x := first.of(each)) is not None and (y := second.of(each)) is not None
        ]
        for alike in of_target
    )


def _cell(found: RankCorrelation | None) -> Correlation | None:
    return None if found is None else Correlation(found.rho, found.interval)


def _notes(results: Sequence[Outcome]) -> Iterator[str]:
    targets = len({each.target for each in results})
    within = "" if targets == 1 else " within targets, because targets differ in difficulty,"
    yield (
        f"ρ is Spearman's rank correlation over runs,{within} with its 95% interval (Fisher's "
        "transform). The interval covers the choice of runs, not other targets; it is missing for "
        "few runs or a perfect order. A correlation does not prove a cause: runs differ in their "
        "settings."
    )
    yield "Diagnostics are computed after training; nothing is selected by them."


def _help(results: Sequence[Outcome]) -> Iterator[str]:
    for name in known_measures(results):
        if name in DIAGNOSED:
            yield f"{DIAGNOSED[name].label}: {DIAGNOSED[name].help}"


def _scale(quantity: Quantity) -> tuple[float, str]:
    return (100, " (%)") if quantity.unit == "share" else (1, "")


def _values(results: Iterable[Outcome], quantity: Quantity) -> list[float]:
    scale, _ = _scale(quantity)
    return [scale * (quantity.of(each) or 0.0) for each in results]


def _marker(results: Sequence[Outcome], target: str) -> str:
    targets = sorted({each.target for each in results})
    return MARKERS[targets.index(target) % len(MARKERS)]


def _draw_along(
    axes: Axes,
    results: Sequence[Outcome],
    quantity: Quantity,
    compared: _Compared,
    drawn: dict[Setting, Look],
) -> None:
    """Draw each run's value at its number, and a line of the means over runs for each setting."""
    known = [each for each in results if compared.of.of(each) is not None]
    _draw_runs(axes, known, compared.of, quantity, drawn)
    chains = grouped(known, lambda each: each.setting.without(compared.of.key))
    for at, chain in enumerate(chains.values()):
        means = sorted(
            (number, statistics.fmean(_values(alike, quantity)))
            for number, alike in grouped(chain, compared.of.of).items()
            if number is not None
        )
        axes.plot(
            *zip(*means, strict=True), LINES[at % len(LINES)], color=INK, linewidth=1, zorder=1
        )
    axes.set_xlabel(compared.word)
    axes.set_ylabel(_label(quantity))


def _draw_scatter(
    axes: Axes, results: Sequence[Outcome], quantity: Quantity, drawn: dict[Setting, Look]
) -> None:
    _draw_runs(axes, results, quantity, OOD, drawn)
    axes.set_xlabel(_label(quantity))
    axes.set_ylabel(f"{OOD.label} (%)")


def _draw_runs(
    axes: Axes,
    results: Sequence[Outcome],
    across: Quantity,
    up: Quantity,
    drawn: dict[Setting, Look],
) -> None:
    """Draw a mark for each run: its colour stands for its setting, its shape for its target."""
    alike = grouped(results, lambda each: (each.setting, each.target))
    for (setting, target), found in alike.items():
        axes.plot(
            _values(found, across), _values(found, up), _marker(results, target),
            color=drawn[setting].colour, markersize=3.5, markeredgewidth=0.3,
            markeredgecolor="white", linestyle="none", zorder=2,
        )  # fmt: skip
    axes.grid(color=FAINT, alpha=0.3, linewidth=0.4)
    axes.margins(0.08)


def _label(quantity: Quantity) -> str:
    return f"{shown(quantity.heading)}{_scale(quantity)[1]}"


def _title(name: str, results: Sequence[Outcome], quantity: Quantity) -> str:
    found = _correlate(results, quantity, OOD)
    return shown(name) if found is None else f"ρ = {cell_text(_cell(found))}"


def _heading(compared: _Compared | None) -> str:
    against = "" if compared is None else f" against {compared.word}, and"
    return f"Richness{against} against OOD accuracy"


def _caption(results: Sequence[Outcome], compared: _Compared | None) -> str:
    targets = len({each.target for each in results})
    left = (
        "OOD accuracy of each run by its value"
        if compared is None
        else "Left: each run's value; a line joins the means of settings that differ only in "
        f"{compared.word}. Right: OOD accuracy by that value"
    )
    return (
        f"{left}, with Spearman's rank correlation"
        f"{' within targets' if targets > 1 else ''} and its 95% interval. Colour: setting; shape: "
        f"target. Values are those of the sources' images (ID). {plural(len(results), 'run')}."
    )
