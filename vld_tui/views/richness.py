"""Drawings of how rich a representation is: calibration, kept units, singular values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from rich.segment import Segment
from rich.style import Style

from vld_tui.views.legend import Line
from vld_tui.views.plot import LABEL_CELLS, LOWEST, NARROWEST, Plot, PlotSeries, View
from vld_tui.views.raster import PlotAxis
from vld_tui.words.numbers import percent, sparkline
from vld_tui.words.palette import DOTTED, GREY
from vld_tui.words.text import fit, plain_text

SHOWN_SHARE: Final = 0.1
"""Share of the units whose accuracy is in the legend."""
NO_CURVES: Final = "not measured yet"


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
    """Singular values, the largest first, and the effective rank."""

    name: str
    values: Sequence[float]
    rank_me: float | None
    style: str


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
        rank = "" if curve.rank_me is None else f"RankMe {curve.rank_me:.1f}"
        series.append(
            _series(curve.name, np.arange(1, len(values) + 1), relative, curve.style, rank)
        )
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
