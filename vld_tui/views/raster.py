"""Curves as braille dots, fast enough for every frame.

A cell holds 2 × 4 dots. Each column of dots is filled from the lowest to the highest value of its
curve, so that the cost of drawing a hundred thousand points depends only on the columns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from vld_tui.runs.curves import Values

DOTS_ACROSS: Final = 2
DOTS_DOWN: Final = 4
BLANK: Final = 0x2800
_BITS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int32)
"""Bit of each dot of a cell, top to bottom, left to right."""
_HAIR: Final = 1e-6
THIN_FROM: Final = 8
"""Minimum number of points per column of dots before they are thinned out."""
_MOST_GAPS: Final = 64
"""Maximum number of gaps of a curve; with more, it is drawn through them."""


@dataclass(frozen=True)
class PlotAxis:
    """A range of numbers mapped to dots, linearly or with ``is_log`` logarithmically."""

    low: float
    high: float
    is_log: bool = False

    @classmethod
    def around(cls, values: Sequence[Values], *, is_log: bool = False) -> Self:
        """Return the axis of every finite value with a margin."""
        ends = [each for each in (_ends(one, is_log=is_log) for one in values) if each]
        if not ends:
            return cls(1.0 if is_log else 0.0, 10.0 if is_log else 1.0, is_log)
        low, high = min(each[0] for each in ends), max(each[1] for each in ends)
        if low == high:
            room = abs(low) * 0.5
            return cls(
                low / 2 if is_log else low - room,
                high * 2 if is_log else high + room or 1.0,
                is_log,
            )
        return cls(low, high, is_log)

    def widened(self, share: float) -> Self:
        """Return the axis with a share of its length added at both ends; negative: removed."""
        low, high = self._ends()
        room = share * (high - low)
        return self._between(low - room, high + room)

    def zoomed(self, share: float, position: float) -> Self:
        """Return the axis with this share of its length, and the same value at a position."""
        low, high = self._ends()
        fixed, length = low + position * (high - low), share * (high - low)
        return self._between(fixed - position * length, fixed + (1 - position) * length)

    def within(self, whole: Self) -> Self:
        """Return the axis moved into ``whole``, or ``whole`` if it is no longer."""
        (low, high), (lowest, highest) = self._ends(), whole._ends()
        if high - low >= highest - lowest:
            return whole
        shift = max(0.0, lowest - low) - max(0.0, high - highest)
        return self._between(low + shift, high + shift)

    def moved(self, share: float) -> Self:
        """Return the axis moved towards its high end by a share of its length."""
        low, high = self._ends()
        shift = share * (high - low)
        return self._between(low + shift, high + shift)

    def positions(self, values: Values) -> Values:
        """Return the positions of values: 0 at the low end, 1 at the high end; NaN if undefined."""
        low, high = self._ends()
        if self.is_log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, np.log10(values), np.nan)
        return (values - low) / (high - low)

    def at(self, position: float) -> float:
        """Return the value at a position."""
        low, high = self._ends()
        value = low + position * (high - low)
        return 10.0**value if self.is_log else value

    def values_at(self, positions: Values) -> Values:
        """Return the values at positions."""
        low, high = self._ends()
        values = low + positions * (high - low)
        return np.power(10.0, values) if self.is_log else values

    def ticks(self, most: int, *, are_whole: bool = False) -> list[float]:
        """Return about ``most`` round values inside the axis; ``are_whole``: integers."""
        low, high = self._ends()
        if self.is_log and high - low >= 1:
            step = max(1, math.ceil((high - low) / max(1, most)))
            factors = (1, 2, 5) if 3 * (high - low) <= most else (1,)
            powers = range(math.floor(low), math.ceil(high) + 1, step)
            values = [factor * 10.0**power for power in powers for factor in factors]
            first, last = self.low * (1 - _HAIR), self.high * (1 + _HAIR)
            known = [value for value in values if first <= value <= last]
            return [value for value in known if value.is_integer() or not are_whole]
        low, high = self.low, self.high
        rough = (high - low) / max(1, most)
        power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
        step_size = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        return multiples(low, high, max(1.0, step_size) if are_whole else step_size)

    def _ends(self) -> tuple[float, float]:
        return (
            (math.log10(self.low), math.log10(self.high)) if self.is_log else (self.low, self.high)
        )

    def _between(self, low: float, high: float) -> Self:
        if self.is_log:
            low, high = 10.0 ** max(low, -300), 10.0 ** min(high, 300)
        return replace(self, low=low, high=high) if high > low else self


def multiples(low: float, high: float, of: float) -> list[float]:
    """Return the multiples of a number within a range."""
    first = math.ceil(low / of - _HAIR)
    count = math.floor(high / of + _HAIR) - first + 1
    return [round((first + index) * of, 12) for index in range(count)]


def draw_curve(
    x: Values,
    y: Values,
    across: PlotAxis,
    up: PlotAxis,
    cells: int,
    rows: int,
    dash: Sequence[int] = (),
) -> npt.NDArray[np.int32]:
    """Draw one curve.

    Args:
        x: (n,) ascending.
        y: (n,); what is not finite, or not positive on a logarithmic axis, leaves a gap.
        across: the axis of ``x``.
        up: the axis of ``y``.
        cells: width in cells.
        rows: height in cells.
        dash: lengths in dots, along the curve, that are drawn and left out in turn; empty: solid.

    Returns:
        (rows, cells): the braille dots of each cell as bits, 0 where there is none.
    """
    width, height = cells * DOTS_ACROSS, rows * DOTS_DOWN
    if len(x) > THIN_FROM * width:
        can_be_shown = np.isfinite(y) & ((y > 0) | (not up.is_log))
        x, y = thinned(x, np.where(can_be_shown, y, np.nan), across, width)
    column = across.positions(x.astype(np.float64)) * (width - 1)
    level = (1 - up.positions(y.astype(np.float64))) * (height - 1)
    dots = np.zeros((height, width), dtype=bool)
    finite = np.isfinite(column) & np.isfinite(level)
    for part in _parts(finite):
        _fill(dots, column[part][finite[part]], level[part][finite[part]], dash)
    cut = dots.reshape(rows, DOTS_DOWN, cells, DOTS_ACROSS)
    bits: npt.NDArray[np.int32] = np.einsum("rdca,da->rc", cut.astype(np.int32), _BITS)
    return bits


def thinned(x: Values, y: Values, across: PlotAxis, width: int) -> tuple[Values, Values]:
    """Return four points for each visible column of dots: the first, the lowest, the highest and
    the last. Drawing them gives the same picture as drawing all.

    Args:
        x: (n,) ascending.
        y: (n,); NaN is a gap, which lasts if it fills a column.
        across: the axis of ``x``.
        width: columns of dots.
    """
    edges = across.values_at((np.arange(width + 1) - 0.5) / (width - 1))
    bounds = np.searchsorted(x, edges)
    start, stop = max(0, int(bounds[0]) - 1), min(len(x), int(bounds[-1]) + 1)
    if stop - start < 1:
        return x[:0], y[:0]
    firsts = np.unique(np.clip([start, *bounds, stop - 1], start, stop - 1))
    lasts = np.append(firsts[1:], stop) - 1
    in_sight, places = y[start:stop], firsts - start
    lowest, highest = np.fmin.reduceat(in_sight, places), np.fmax.reduceat(in_sight, places)
    columns = np.stack([x[firsts], x[firsts], x[lasts], x[lasts]], axis=1)
    levels = np.stack([y[firsts], lowest, highest, y[lasts]], axis=1)
    return columns.ravel(), levels.ravel()


def _fill(dots: npt.NDArray[np.bool_], column: Values, level: Values, dash: Sequence[int]) -> None:
    """Fill each column of dots between the lowest and the highest level of the curve there."""
    height, width = dots.shape
    if len(column) == 0 or column[-1] < -0.5 or column[0] > width - 0.5:
        return
    first = max(0, math.floor(column[0] + 0.5))
    last = min(width - 1, math.floor(column[-1] + 0.5))
    edges = np.arange(first, last + 2) - 0.5
    ends = np.interp(edges, column, level)
    lowest, highest = np.minimum(ends[:-1], ends[1:]), np.maximum(ends[:-1], ends[1:])
    # The values at the edges of a column bound the line across it; its points may exceed them.
    inside = np.searchsorted(column, edges)
    has_points = inside[1:] > inside[:-1]
    if has_points.any():
        starts = inside[:-1][has_points]
        reach = slice(starts[0], inside[-1])
        starts = starts - starts[0]
        lowest[has_points] = np.minimum(
            lowest[has_points], np.minimum.reduceat(level[reach], starts)
        )
        highest[has_points] = np.maximum(
            highest[has_points], np.maximum.reduceat(level[reach], starts)
        )
    # A line through the corner between two dots belongs to one of them only.
    top = np.ceil(np.clip(lowest, -1, height) - 0.5 + _HAIR).astype(int)
    bottom = np.floor(np.clip(highest, -1, height) + 0.5 - _HAIR).astype(int)
    bottom = np.maximum(top, bottom)
    line = np.arange(height)[:, None]
    drawn = (line >= top) & (line <= bottom)
    if dash:
        lengths = bottom - top + 1
        along = np.cumsum(lengths) - lengths + (line - top)
        is_on = np.repeat(np.arange(len(dash)) % 2 == 0, dash)
        drawn &= is_on[along % len(is_on)]
    dots[:, first : last + 1] |= drawn


def _parts(finite: npt.NDArray[np.bool_]) -> list[slice]:
    """Return the parts between gaps, or the whole curve if there are too many."""
    whole = slice(0, len(finite))
    changes = np.flatnonzero(np.diff(finite.astype(np.int8)))
    if len(changes) > 2 * _MOST_GAPS:
        return [whole]
    bounds = [0, *(changes + 1).tolist(), len(finite)]
    return [
        slice(start, stop)
        for start, stop in itertools.pairwise(bounds)
        if stop > start and finite[start]
    ]


def _ends(values: Values, *, is_log: bool) -> tuple[float, float] | None:
    """Return the lowest and highest value that an axis can show, if any."""
    if len(values) == 0:
        return None
    low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))  # past NaN
    if math.isfinite(low) and math.isfinite(high) and (low > 0 or not is_log):
        return low, high
    shown = values[np.isfinite(values) & ((values > 0) | (not is_log))]
    return (float(shown.min()), float(shown.max())) if len(shown) else None


def smoothed(values: Values, weight: float) -> Values:
    """Return the debiased exponential moving average of values; gaps stay gaps.

    Args:
        values: (n,).
        weight: of the past, in [0, 1); 0 changes nothing.
    """
    finite = np.isfinite(values)
    if weight == 0 or not finite.any():
        return values
    known = values[finite]
    reach = min(len(known), math.ceil(math.log(1e-4) / math.log(weight)))
    kernel = (1 - weight) * weight ** np.arange(reach)
    sums = np.convolve(known, kernel)[: len(known)]
    weights = np.convolve(np.ones(len(known)), kernel)[: len(known)]
    result = np.full(len(values), np.nan)
    result[finite] = sums / weights
    return result
