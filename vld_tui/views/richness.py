"""Drawings of how rich a representation is: calibration, kept units, singular values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from rich.segment import Segment
from rich.style import Style

from engine.protocol.diagnostics import Cell, Diagnosis, FindingTable
from vld_tui.views.legend import Line
from vld_tui.views.plot import LABEL_CELLS, LOWEST, NARROWEST, Plot, PlotSeries, View
from vld_tui.views.raster import PlotAxis
from vld_tui.words.numbers import percent, sparkline
from vld_tui.words.palette import DOTTED, GREY, ID_STYLE, OOD_STYLE, series_look
from vld_tui.words.text import fit, plain_text

SHOWN_SHARE: Final = 0.1
"""Share of the units whose accuracy is in the legend."""
NO_CURVES: Final = "not measured yet"
DRAWN_ROWS: Final = 16
"""Height of the drawing of a diagnosis."""


@dataclass(frozen=True)
class ConfidenceBin:
    """Images with a confidence above ``low`` and at most ``high``, all values from 0 to 1.

    ``confidence`` is their mean; it and ``accuracy`` are None without images.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ReliabilityCurve:
    """The bins of some images, in ascending order, and their calibration error (0 to 1)."""

    name: str
    bins: Sequence[ConfidenceBin]
    calibration_error: float | None
    style: str


@dataclass(frozen=True)
class KeptShare:
    """The accuracy (0 to 1) with a share of the units: mean over masks, and ± their standard
    deviation; None: there is one mask."""

    share: float
    mean: float
    sd: float | None = None


@dataclass(frozen=True)
class KeptUnitsCurve:
    """Accuracies by share of the units, in any order."""

    name: str
    points: Sequence[KeptShare]
    style: str


@dataclass(frozen=True)
class SpectrumCurve:
    """Singular values, the largest first, and the effective rank.

    ``directions`` are the numbers of the values, from 1; None: all of them in order.
    """

    name: str
    values: Sequence[float]
    rank_me: float | None
    style: str
    directions: Sequence[float] | None = None


def reliability_diagram(
    curves: Sequence[ReliabilityCurve], cells: int, rows: int, *, is_colourless: bool = False
) -> Iterator[Line]:
    """Yield accuracy against confidence, and below it the number of images of each bin."""
    strips = len(curves) if rows - len(curves) >= 2 * LOWEST and cells >= NARROWEST else 0
    plot = replace(reliability_plot(curves), is_colourless=is_colourless)
    if strips:
        plot = replace(plot, remark=f"{plot.remark}, bars: images")
    yield from plot.lines(cells, rows - strips)
    for curve in curves[:strips]:
        yield _image_strip(curve, cells)


def reliability_plot(curves: Sequence[ReliabilityCurve]) -> Plot:
    """Return accuracy against confidence (%); a dotted diagonal stands for perfect calibration."""
    series = []
    for curve in curves:
        known = [each for each in curve.bins if each.confidence is not None]
        x = [100 * each.confidence for each in known if each.confidence is not None]
        y = [np.nan if each.accuracy is None else each.accuracy for each in known]
        error = f"ECE {percent(curve.calibration_error)}"
        series.append(_series(curve.name, x, y, curve.style, error))
    is_empty = not any(len(each.x) for each in series)
    diagonal = PlotSeries(
        "perfect calibration", np.array([0.0, 100.0]), np.array([0.0, 1.0]), GREY,
        is_bound=True, dash=DOTTED,
    )  # fmt: skip
    return Plot(
        "accuracy by confidence (%)",
        tuple(series if is_empty else [diagonal, *series]),
        View(across=PlotAxis(0, 100)),
        is_percent=True,
        has_marks=True,
        step_name="confidence {}%".format,
        empty_note=NO_CURVES,
        remark="dotted: perfect",
    )


def _image_strip(curve: ReliabilityCurve, cells: int) -> Line:
    """Return the number of images of each bin as a line of blocks below the axis of confidence."""
    width = cells - LABEL_CELLS
    most = max((each.images for each in curve.bins), default=0)
    confidences = (np.arange(width) + 0.5) / width
    of_cell = np.searchsorted([each.high for each in curve.bins], confidences).tolist()
    images = [curve.bins[at].images or None if at < len(curve.bins) else None for at in of_cell]
    blocks = sparkline(images, width, scale=(0, max(1, most)))
    label = fit(plain_text(curve.name), LABEL_CELLS - 1) + " "
    return [Segment(label, Style(dim=True)), Segment(blocks, Style.parse(curve.style))]


def kept_units_plot(curves: Sequence[KeptUnitsCurve]) -> Plot:
    """Return accuracy against the share of kept units (%); dotted bounds are ± sd over masks."""
    series = []
    for curve in curves:
        points = sorted(curve.points, key=lambda point: point.share)
        shares = [100 * point.share for point in points]
        shown = next((each.mean for each in points if each.share == SHOWN_SHARE), None)
        summary = "" if shown is None else f"{percent(shown)} at {SHOWN_SHARE:.0%}"
        for sign in (-1, 1):
            bound = [point.mean + sign * (point.sd or 0.0) for point in points]
            drawn = _series(curve.name, shares, bound, f"dim {curve.style}")
            if any(point.sd for point in points):
                series.append(replace(drawn, is_bound=True, dash=DOTTED))
        means = [point.mean for point in points]
        series.append(_series(curve.name, shares, means, curve.style, summary))
    return Plot(
        "accuracy by kept units (%)",
        tuple(series),
        View(x_is_log=True),
        is_percent=True,
        has_marks=True,
        step_name="{}% of units".format,
        empty_note=NO_CURVES,
        remark="± sd over masks",
    )


def spectrum_plot(curves: Sequence[SpectrumCurve]) -> Plot:
    """Return singular values relative to the largest, on a logarithmic axis."""
    series = []
    for curve in curves:
        values = np.array(curve.values, dtype=np.float64)
        values = values[values > 0]
        relative = values / values[0] if len(values) else values
        directions = curve.directions or range(1, len(values) + 1)
        rank = "" if curve.rank_me is None else f"RankMe {curve.rank_me:.1f}"
        places = directions[: len(values)]
        series.append(_series(curve.name, places, relative, curve.style, rank))
    return Plot(
        "singular values",
        tuple(series),
        View(y_is_log=True),
        step_name="direction {:,}".format,
        empty_note=NO_CURVES,
        remark="largest = 1",
    )


def _series(
    name: str,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    style: str,
    summary: str = "",
) -> PlotSeries:
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return PlotSeries(name, places, values, style, summary=summary)


def _spectra(diagnosis: Diagnosis, cells: int) -> Iterable[Line]:
    table = diagnosis.tables.get("spectrum")
    if table is None:
        return ()
    ranks = {each.domain: each.value for each in diagnosis.findings if each.name == "rank_me"}
    directions = numbers_in(table, 0)
    curves = [
        SpectrumCurve(domain, numbers_in(table, at), ranks.get(domain), style, directions)
        for at, (domain, style) in enumerate(_styled(diagnosis, table.columns[1:]), start=1)
    ]
    return drawn_lines(spectrum_plot(curves), cells)


def _kept_units(diagnosis: Diagnosis, cells: int) -> Iterable[Line]:
    table = diagnosis.tables.get("shares")
    if table is None:
        return ()
    names = table.columns[2::2]
    curves = []
    for at, (domain, style) in enumerate(_styled(diagnosis, names)):
        points = [
            KeptShare(share, mean, number_in(row[3 + 2 * at]))
            for row in table.rows
            if len(row) > 3 + 2 * at
            and (share := _share(row[0])) is not None
            and (mean := number_in(row[2 + 2 * at])) is not None
        ]
        curves.append(KeptUnitsCurve(domain, points, style))
    return drawn_lines(kept_units_plot(curves), cells)


def _reliability(diagnosis: Diagnosis, cells: int) -> Iterable[Line]:
    curves = []
    for name, label, style in (("source", "ID", ID_STYLE), ("target", "OOD", OOD_STYLE)):
        if (table := diagnosis.tables.get(name)) is not None:
            errors = [
                each.value
                for each in diagnosis.findings
                if each.name == "calibration_error"
                and each.value is not None
                and (each.split == "in") == (name == "target")
            ]
            error = statistics.fmean(errors) if errors else None
            curves.append(ReliabilityCurve(label, [*_bins(table)], error, style))
    is_known = any(each.bins for each in curves)
    return reliability_diagram(curves, cells, DRAWN_ROWS + 4) if is_known else ()


RICHNESS_DRAWN: Final[Mapping[str, Callable[[Diagnosis, int], Iterable[Line]]]] = {
    "rank": _spectra,
    "units": _kept_units,
    "calibration": _reliability,
}
"""How diagnoses with curves are drawn, by the name of the diagnostic."""


def drawn_lines(plot: Plot, cells: int) -> Iterable[Line]:
    """Return a plot in the height of drawings; no lines if there is no value."""
    return () if plot.is_empty else plot.lines(cells, DRAWN_ROWS)


def _styled(diagnosis: Diagnosis, domains: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield domains with their colours; the target, which is the last, has that of OOD values."""
    has_target = any(ood is not None for _, ood in diagnosis.values.values())
    for at, domain in enumerate(domains, start=1):
        is_target = has_target and at == len(domains)
        yield domain, OOD_STYLE if is_target else series_look(at - 1).colour


def _bins(table: FindingTable) -> Iterator[ConfidenceBin]:
    """Yield the bins of a table of reliability, in ascending order."""
    for row in table.rows:
        if len(row) == 5:
            low, high, images, confidence, accuracy = map(number_in, row)
            if low is not None and high is not None and images is not None:
                yield ConfidenceBin(low, high, int(images), confidence, accuracy)


def numbers_in(table: FindingTable, column: int) -> list[float]:
    """Return the known numbers of a column."""
    known = (number_in(row[column]) for row in table.rows if len(row) > column)
    return [value for value in known if value is not None]


def number_in(cell: Cell) -> float | None:
    """Return a finite number; None for anything else."""
    return float(cell) if isinstance(cell, int | float) and math.isfinite(cell) else None


def _share(cell: Cell) -> float | None:
    """Return a share that is written as a percentage."""
    try:
        return float(str(cell).removesuffix("%")) / 100
    except ValueError:
        return None
