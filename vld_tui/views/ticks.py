"""The labelled ticks of a chart's axes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

from vld_tui.views.raster import PlotAxis, multiples

TICK_CELLS: Final = 9
"""Cells of a horizontal axis per tick."""
MOST_DIGITS: Final = 6
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TIME_STEPS: Final = (
    1, 2, 5, 10, 15, 30,
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)),
)  # fmt: skip
Tick = tuple[float, str]
"""A value and its label."""


def step_ticks(axis: PlotAxis, cells: int) -> list[Tick]:
    """Return whole steps for a horizontal axis of ``cells``."""
    ticks = axis.ticks(max(2, cells // TICK_CELLS), are_whole=True)
    return [(tick, f"{tick:,.0f}") for tick in ticks]


def elapsed_ticks(axis: PlotAxis, cells: int) -> list[Tick]:
    """Return round durations for a horizontal axis of seconds."""
    ticks = multiples(axis.low, axis.high, _time_step(axis, cells))
    return [(tick, time_span(tick)) for tick in ticks]


def clock_ticks(axis: PlotAxis, cells: int) -> list[Tick]:
    """Return round local times for a horizontal axis of Unix seconds."""
    step = _time_step(axis, cells)
    ahead = time.localtime(axis.low).tm_gmtoff
    form = "%b %d" if step >= _DAY else "%H:%M" if step >= _MINUTE else "%H:%M:%S"
    ticks = [tick - ahead for tick in multiples(axis.low + ahead, axis.high + ahead, step)]
    return [(tick, time.strftime(form, time.localtime(tick))) for tick in ticks]


def value_ticks(axis: PlotAxis, most: int, cells: int, *, is_percent: bool) -> list[Tick]:
    """Return labels of at most ``cells`` for round values, all different."""
    ticks, chosen = axis.ticks(most), list[str]()
    for digits in range(MOST_DIGITS + 1):
        labels = [_number(tick, digits, is_percent=is_percent) for tick in ticks]
        if chosen and max(map(len, labels), default=0) > cells:
            break
        chosen = labels
        if _are_exact(ticks, labels, is_percent=is_percent):
            break
    first: dict[str, float] = {}
    for tick, label in zip(ticks, chosen, strict=True):
        first.setdefault(label, tick)
    return [(tick, label) for label, tick in first.items() if len(label) <= cells]


def time_span(seconds: float) -> str:
    """Format a duration without the units that are zero: ``45s``, ``5m``, ``1h 30m``, ``2d``."""
    left, parts = round(seconds), []
    for unit, length in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def _time_step(axis: PlotAxis, cells: int) -> float:
    least = (axis.high - axis.low) / max(2, cells // TICK_CELLS)
    return next((step for step in _TIME_STEPS if step >= least), math.ceil(least))


def _number(value: float, digits: int, *, is_percent: bool) -> str:
    if is_percent:
        return f"{100 * value:.{digits}f}%"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.{digits}f}"


def _are_exact(ticks: Sequence[float], labels: Sequence[str], *, is_percent: bool) -> bool:
    """Return whether labels are the values of their ticks, not rounded ones."""
    scale = 100 if is_percent else 1
    read = [float(label.rstrip("%")) for label in labels]
    return all(
        math.isclose(value, scale * tick, rel_tol=1e-6, abs_tol=1e-12)
        for value, tick in zip(read, ticks, strict=True)
    )
