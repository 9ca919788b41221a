"""Means and their confidence intervals, against scipy's where it can be written down."""

from __future__ import annotations

import statistics

import pytest
from scipy import stats

from vld_tui.runs.statistics import estimate


def test_no_value_has_no_mean_and_one_has_no_spread() -> None:
    assert estimate([]) is None
    one = estimate([0.5])
    assert one is not None
    assert one == (0.5, None, None, 1)


def test_two_values_have_a_deviation_and_no_interval() -> None:
    found = estimate([0.3, 0.5])
    assert found is not None
    assert found.deviation == pytest.approx(statistics.stdev([0.3, 0.5]))
    assert found.mean == pytest.approx(0.4)
    assert found.interval is None
    assert found.n == 2


def test_three_values_have_students_interval() -> None:
    found = estimate([0.5, 0.6, 0.7])
    assert found is not None
    assert found.mean == pytest.approx(0.6)
    assert found.deviation == pytest.approx(0.1)
    assert found.interval == pytest.approx(0.24841, abs=1e-4)  # t(0.975, 2) = 4.30265


@pytest.mark.parametrize("count", [3, 4, 11, 31, 32, 33, 60, 200, 5000])
def test_intervals_are_those_of_scipy_for_any_number_of_values(count: int) -> None:
    values = [float(at % 7) for at in range(count)]
    found = estimate(values)
    assert found is not None
    assert found.interval is not None
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean - found.interval == pytest.approx(expected.low, rel=1e-7)
    assert found.mean + found.interval == pytest.approx(expected.high, rel=1e-7)
