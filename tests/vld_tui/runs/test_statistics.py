"""Means and their confidence intervals, against scipy's where it can be written down."""

from __future__ import annotations

import statistics

import pytest
from scipy import stats

from vld_tui.runs.statistics import estimate, of_moments


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
    assert found.half_interval is None
    assert found.n == 2


def test_three_values_have_students_interval() -> None:
    found = estimate([0.5, 0.6, 0.7])
    assert found is not None
    assert found.mean == pytest.approx(0.6)
    assert found.deviation == pytest.approx(0.1)
    assert found.half_interval == pytest.approx(0.24841, abs=1e-4)  # t(0.975, 2) = 4.30265


@pytest.mark.parametrize("count", [3, 4, 11, 31, 32, 33, 60, 200, 5000])
def test_intervals_are_those_of_scipy_for_any_number_of_values(count: int) -> None:
    values = [float(at % 7) for at in range(count)]
    found = estimate(values)
    assert found is not None
    assert found.half_interval is not None
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean - found.half_interval == pytest.approx(expected.low, rel=1e-7)
    assert found.mean + found.half_interval == pytest.approx(expected.high, rel=1e-7)


def test_a_standard_error_is_the_deviation_over_the_root_of_the_number() -> None:
    found = estimate([0.1, 0.2, 0.4, 0.9])
    assert found is not None
    assert found.standard_error == pytest.approx(statistics.stdev([0.1, 0.2, 0.4, 0.9]) / 2)


@pytest.mark.parametrize("values", [[0.5], [0.3, 0.5], [0.1, 0.2, 0.4, 0.9]])
def test_moments_give_the_estimate_of_the_values(values: list[float]) -> None:
    squares = statistics.fmean(value**2 for value in values)
    assert of_moments(len(values), statistics.fmean(values), squares) == pytest.approx(
        estimate(values)
    )
