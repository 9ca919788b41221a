"""Curves over the steps of a run, drawn in characters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import plotext

from vld_tui.views.combined import step_label
from vld_tui.words.numbers import decimal, percent
from vld_tui.words.palette import SERIES_MARKS
from vld_tui.words.text import plain_text, shorten

COLOURS: Final = (33, 208, 36, 170, 246, 81)
"""Of the 256: blue, orange, green, purple, grey, sky. Every curve has its own mark besides."""
MIN_CELLS: Final = 40
MIN_PANEL_ROWS: Final = 8

_LABEL_CELLS = 6
_MAX_TICKS = 6


@dataclass(frozen=True)
class Curve:
    """Values over steps; a missing value leaves a gap."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float | None, ...]

    def at(self, step: int | None) -> float | None:
        """Return the value at ``step``, else the latest one."""
        at_steps = dict(zip(self.steps, self.values, strict=True))
        latest = self.values[-1] if self.values else None
        return latest if step is None else at_steps.get(step, latest)


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis. ``is_percent``: the values are shares from 0 to 1.

    ``has_marks``: every value gets its curve's mark and colour; for several curves of few
    values.
    """

    title: str
    curves: tuple[Curve, ...]
    is_percent: bool
    has_marks: bool = True


def draw(
    panels: Sequence[Panel],
    *,
    selected_step: int | None,
    cells: int,
    rows: int,
    colour: bool,
    label: Callable[[int], str] = step_label,
) -> str:
    """Draw panels one below the other in ``cells`` columns and ``rows`` rows of a terminal.

    A vertical line marks the selected step; the line above a panel names its curves with
    their value there. ``label`` names a step. With ``colour`` the text carries terminal colours.
    """
    cells = max(MIN_CELLS, cells)
    steps = [step for panel in panels for curve in panel.curves for step in curve.steps]
    last_step = max([1, *steps])
    parts: list[str] = []
    for panel, panel_rows in zip(panels, _share_rows(len(panels), rows), strict=True):
        where = "latest" if selected_step is None else f"at {label(selected_step)} │"
        parts.append(_legend(panel, selected_step, where, cells, colour=colour))
        plotext.clear_figure()
        plotext.theme("clear")
        plotext.limit_size(False, False)
        plotext.plotsize(cells, panel_rows - 1)
        _plot(
            panel, last_step, selected_step, most_ticks=max(3, min(_MAX_TICKS, panel_rows // 2 - 1))
        )
        text = plotext.build()
        parts.append(text if colour else plotext.uncolorize(text))
    lines = "\n".join(part.rstrip("\n") for part in parts).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most ``most`` evenly spaced round values that enclose ``low`` and ``high``."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / (most - 2)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _share_rows(panels: int, rows: int) -> list[int]:
    """Share the rows out: the first of several panels gets about two thirds of them."""
    rows = max(rows, MIN_PANEL_ROWS * panels)
    if panels == 1:
        return [rows]
    others = max(MIN_PANEL_ROWS, rows * 3 // 8 // (panels - 1))
    return [rows - others * (panels - 1)] + [others] * (panels - 1)


def _legend(
    panel: Panel, selected_step: int | None, where: str, cells: int, *, colour: bool
) -> str:
    """Name the curves with their marks, and their values at the selected step."""
    entries: list[tuple[int | None, str]] = []
    for curve, mark, code in _signed(panel):
        value = curve.at(selected_step)
        shown = percent(value) if panel.is_percent else decimal(value)
        entries.append((code, f"{mark} {plain_text(curve.name)} {shown}".lstrip()))
    title = f"{panel.title} {where}  "
    plain = title + "  ".join(text for _, text in entries)
    if not colour or len(plain) > cells:
        return shorten(plain, cells)
    return title + "  ".join(
        text if code is None else f"\x1b[38;5;{code}m{text}\x1b[0m" for code, text in entries
    )


def _signed(panel: Panel) -> Iterator[tuple[Curve, str, int | None]]:
    """Yield each curve with its mark and colour; a panel without marks has no colours either."""
    for index, curve in enumerate(panel.curves):
        if panel.has_marks:
            yield curve, SERIES_MARKS[index % len(SERIES_MARKS)], COLOURS[index % len(COLOURS)]
        else:
            yield curve, "", None


def _plot(panel: Panel, last_step: int, selected_step: int | None, *, most_ticks: int) -> None:
    scale = 100.0 if panel.is_percent else 1.0
    drawn: list[float] = []
    for curve, mark, code in _signed(panel):
        for steps, values in _segments(curve, scale):
            drawn += values
            plotext.plot(steps, values, marker="braille", color=code)
            if mark:
                plotext.scatter(steps, values, marker=mark, color=code)
    ticks = nice_ticks(min(drawn, default=0.0), max(drawn, default=1.0), most_ticks)
    plotext.ylim(ticks[0], ticks[-1])
    plotext.yticks(ticks, [f"{tick:>{_LABEL_CELLS}g}" for tick in ticks])
    plotext.xlim(0, last_step)
    round_steps = nice_ticks(0, last_step, 8)
    steps_shown = [int(tick) for tick in round_steps if tick <= last_step and tick % 1 == 0]
    plotext.xticks(steps_shown, [f"{tick:,}" for tick in steps_shown])
    if selected_step is not None:
        plotext.vline(selected_step)


def _segments(curve: Curve, scale: float) -> list[tuple[list[int], list[float]]]:
    """Split a curve where values are missing."""
    segments: list[tuple[list[int], list[float]]] = [([], [])]
    for step, value in zip(curve.steps, curve.values, strict=True):
        if value is None:
            segments.append(([], []))
        else:
            segments[-1][0].append(step)
            segments[-1][1].append(value * scale)
    return [segment for segment in segments if segment[0]]
