"""Curves look as textual-plot draws them, a widget made by others, from the same data."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt
import pytest
from textual.app import App, ComposeResult
from textual_hires_canvas import Canvas, HiResMode
from textual_plot import PlotWidget

from vld_tui.runs.curves import Values
from vld_tui.views.raster import BLANK, DOTS_ACROSS, DOTS_DOWN, PlotAxis, draw_curve

BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
CLOSE_DOTS = 2
"""Theirs places a value on the edge of a dot, ours in its middle."""

Dots = npt.NDArray[np.bool_]


def dots_of(cells: npt.NDArray[np.int32]) -> Dots:
    """Return the dots of braille cells, (rows, cells) bits, as (4 rows, 2 cells)."""
    rows, columns = cells.shape
    spread: Dots = (cells[:, :, None, None] & BITS) != 0
    return spread.transpose(0, 2, 1, 3).reshape(rows * DOTS_DOWN, columns * DOTS_ACROSS)


def theirs(x: Values, y: Values, across: PlotAxis, up: PlotAxis) -> Dots:
    """Draw with textual-plot, and take what stands within its frame."""

    class Plotted(App[None]):
        def compose(self) -> ComposeResult:
            yield PlotWidget()

    async def draw() -> npt.NDArray[np.int32]:
        app = Plotted()
        async with app.run_test(size=(80, 24)) as pilot:
            plot = app.query_one(PlotWidget)
            plot.set_xlimits(across.low, across.high)
            plot.set_ylimits(up.low, up.high)
            plot.plot(x, y, hires_mode=HiResMode.BRAILLE)
            await pilot.pause(0.2)
            buffer = np.array(app.query_one("#plot", Canvas)._buffer)[1:-1, 1:-1]
            codes = np.vectorize(ord)(buffer)
            bits = np.where((codes > BLANK) & (codes <= BLANK + 0xFF), codes - BLANK, 0)
            return bits.astype(np.int32)

    return dots_of(asyncio.run(draw()))


def share_near(dots: Dots, others: Dots) -> float:
    """Return the share of dots with one of the others close by."""
    mine, near = np.argwhere(dots), np.argwhere(others)
    distance = np.abs(mine[:, None] - near[None]).max(axis=2).min(axis=1)
    return float(np.mean(distance <= CLOSE_DOTS))


@pytest.mark.parametrize("kind", ["loss", "accuracy", "steps"])
def test_dots_stand_where_another_widget_puts_them(kind: str) -> None:
    chance = np.random.default_rng(3)
    x = np.arange(0.0, 400.0)
    y = {
        "loss": 2 * np.exp(-x / 90) + chance.normal(0, 0.02, len(x)),
        "accuracy": 0.8 - 0.5 * np.exp(-x / 60) + 0.05 * np.sin(x / 25),
        "steps": np.floor(x / 80) % 2,
    }[kind]
    across, up = PlotAxis.around([x]).widened(0.02), PlotAxis.around([y]).widened(0.05)
    other = theirs(x, y, across, up)
    rows, columns = other.shape
    mine = dots_of(draw_curve(x, y, across, up, columns // DOTS_ACROSS, rows // DOTS_DOWN))
    assert other.sum() > columns / 2
    assert share_near(mine, other) == 1
    assert share_near(other, mine) == 1
