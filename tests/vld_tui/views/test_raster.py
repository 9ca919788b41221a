"""Curves as braille dots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vld_tui.views import raster
from vld_tui.views.raster import BLANK, PlotAxis, draw_curve, smoothed


def picture(x: list[float], y: list[float], up: PlotAxis, cells: int, rows: int) -> list[str]:
    across = PlotAxis.around([np.array(x)])
    dots = draw_curve(np.array(x), np.array(y), across, up, cells, rows)
    return ["".join(chr(BLANK + bits) for bits in row).replace(chr(BLANK), " ") for row in dots]


def test_a_straight_line_goes_from_corner_to_corner() -> None:
    drawn = picture([0, 7], [0, 7], PlotAxis(0, 7), 4, 2)
    assert drawn == ["  ⡠⠊", "⡠⠊  "]


def test_a_gap_stays_open() -> None:
    (row,) = picture([0, 1, 2, 3, 4], [0, 0, float("nan"), 0, 0], PlotAxis(0, 1), 9, 1)
    assert row.strip() != ""
    assert " " in row.strip()
    (whole,) = picture([0, 1, 2, 3, 4], [0, 0, 0, 0, 0], PlotAxis(0, 1), 9, 1)
    assert " " not in whole


def test_one_point_is_one_dot() -> None:
    dots = draw_curve(np.array([5.0]), np.array([0.5]), PlotAxis(0, 10), PlotAxis(0, 1), 10, 3)
    assert sum(bits.bit_count() for bits in dots.flatten().tolist()) == 1


def test_a_spike_among_many_points_is_seen() -> None:
    y = np.zeros(100_000)
    y[51_234] = 1.0
    dots = draw_curve(np.arange(100_000.0), y, PlotAxis(0, 99_999), PlotAxis(0, 1), 50, 5)
    assert int(np.count_nonzero(dots[0])) == 1
    assert int(np.flatnonzero(dots[0])[0]) == round(51_234 / 99_999 * 99) // 2


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("in_sight", [(0, 5000), (1200, 1900), (4990, 9000), (6000, 7000)])
def test_many_points_are_drawn_as_if_none_were_left_out(
    is_log: bool, in_sight: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    x = np.sort(chance.choice(np.arange(5001.0), 4000, replace=False))
    y = 100 + np.cumsum(chance.normal(0, 1, len(x)))
    y[chance.random(len(x)) < 0.005] = np.nan
    y[1000:1500] = np.inf
    across, up = PlotAxis(*in_sight), PlotAxis.around([y], is_log=is_log)
    drawn = draw_curve(x, y, across, up, 40, 8)
    monkeypatch.setattr(raster, "THIN_FROM", len(x))
    whole = draw_curve(x, y, across, up, 40, 8)
    assert np.array_equal(drawn, whole)


def test_what_lies_outside_the_axes_is_not_drawn() -> None:
    x, y = np.arange(100.0), np.full(100, 5.0)
    assert not draw_curve(x, y, PlotAxis(0, 99), PlotAxis(0, 1), 20, 5).any()
    assert not draw_curve(x, y, PlotAxis(200, 300), PlotAxis(0, 10), 20, 5).any()
    assert draw_curve(x, y, PlotAxis(10, 20), PlotAxis(0, 10), 20, 5).any(axis=0).all()


def test_a_power_law_is_straight_on_logarithmic_axes() -> None:
    x = np.logspace(0, 7, 200)
    dots = draw_curve(x, x, PlotAxis(1, 1e7, is_log=True), PlotAxis(1, 1e7, is_log=True), 4, 2)
    assert ["".join(chr(BLANK + bits) for bits in row) for row in dots] == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]


def test_what_has_no_logarithm_leaves_a_gap() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([0.0, -1.0, 10.0])
    dots = draw_curve(x, y, PlotAxis(1, 3), PlotAxis.around([y], is_log=True), 10, 4)
    assert sum(bits.bit_count() for bits in dots.flatten().tolist()) == 1


def test_axes_hold_every_finite_value() -> None:
    values = [np.array([1.0, np.nan, 3.0]), np.array([np.inf, -2.0])]
    assert PlotAxis.around(values) == PlotAxis(-2, 3)
    assert PlotAxis.around([np.array([np.nan])]) == PlotAxis(0, 1)
    flat = PlotAxis.around([np.array([4.0, 4.0])])
    assert flat.low < 4 < flat.high
    assert PlotAxis.around([np.array([-1.0, 0.1, 10.0])], is_log=True) == PlotAxis(
        0.1, 10, is_log=True
    )


@pytest.mark.parametrize(
    ("axis", "most", "expected"),
    [
        (PlotAxis(0, 200), 5, [0, 50, 100, 150, 200]),
        (PlotAxis(0.31, 0.79), 4, [0.4, 0.6]),
        (PlotAxis(1e-3, 10, is_log=True), 6, [0.001, 0.01, 0.1, 1, 10]),
        (PlotAxis(2, 7, is_log=True), 4, [2, 4, 6]),
    ],
)
def test_ticks_are_round(axis: PlotAxis, most: int, expected: list[float]) -> None:
    assert axis.ticks(most) == pytest.approx(expected)


def test_zoom_and_pan_keep_to_the_scale() -> None:
    assert PlotAxis(0, 10).widened(-0.25) == PlotAxis(2.5, 7.5)
    assert PlotAxis(0, 10).moved(0.1) == PlotAxis(1, 11)
    moved = PlotAxis(1, 100, is_log=True).moved(0.5)
    assert (moved.low, moved.high) == pytest.approx((10, 1000))
    assert PlotAxis(1, 100, is_log=True).at(0.5) == pytest.approx(10)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=50),
    st.booleans(),
    st.integers(1, 20),
    st.integers(1, 10),
)
def test_any_values_can_be_drawn(values: list[float], is_log: bool, cells: int, rows: int) -> None:
    y = np.array(values)
    up = PlotAxis.around([y], is_log=is_log)
    x = np.arange(float(len(y)))
    dots = draw_curve(x, y, PlotAxis.around([x]), up, cells, rows)
    assert dots.shape == (rows, cells)
    visible = np.isfinite(y) & ((y > 0) | (not is_log))
    assert bool(dots.any()) == bool(visible.any())
    assert len(up.ticks(5)) <= 7


def test_smoothing_is_a_debiased_moving_average() -> None:
    values = np.array([1.0, 3.0, np.nan, 5.0])
    result = smoothed(values, 0.5)
    assert result[0] == 1.0
    assert result[1] == pytest.approx((0.5 * 1 + 1 * 3) / 1.5)
    assert np.isnan(result[2])
    assert result[3] == pytest.approx((0.25 * 1 + 0.5 * 3 + 1 * 5) / 1.75)
    assert np.array_equal(smoothed(values, 0.0), values, equal_nan=True)
