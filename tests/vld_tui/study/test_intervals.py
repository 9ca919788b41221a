"""Intervals and p-values of few targets and seeds, held against simulation and scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from vld_tui.study.intervals import (
    FEW,
    Inference,
    Values,
    draw_targets,
    infer,
    infer_over_seeds,
    infer_over_targets,
    least_p,
)

_RESAMPLES = 500


def _leaves_out(infer_one: Callable[[int, np.random.Generator], Inference], times: int) -> float:
    """Return in which share of cases with no effect the interval leaves out 0."""
    noise = np.random.default_rng(0)
    intervals = [infer_one(number, noise).interval for number in range(times)]
    return sum(low > 0 or high < 0 for low, high in intervals) / times


@pytest.mark.parametrize("between", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(("targets", "times"), [(4, 2000), (FEW, 500)])
def test_without_an_effect_the_interval_over_targets_leaves_out_zero_as_often_as_it_says(
    targets: int, times: int, between: float
) -> None:
    """Three seeds; targets differ by ``between`` times the deviation of seeds."""

    def infer_one(_number: int, noise: np.random.Generator) -> Inference:
        of_targets = between * noise.normal(size=(targets, 1))
        return infer_over_targets([*(of_targets + noise.normal(size=(targets, 3)))], _RESAMPLES)

    assert _leaves_out(infer_one, times) == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize(("seeds", "times"), [(3, 2000), (FEW, 500)])
def test_without_an_effect_the_interval_over_seeds_does_too(seeds: int, times: int) -> None:
    def infer_one(_number: int, noise: np.random.Generator) -> Inference:
        return infer_over_seeds(noise.normal(size=seeds), _RESAMPLES)

    assert _leaves_out(infer_one, times) == pytest.approx(0.05, abs=0.025)


def test_draws_are_those_of_plain_loops() -> None:
    noise = np.random.default_rng(3)
    values = [noise.normal(0.05 * target, 0.05, 4 + target) for target in range(3)]
    means = []
    for _ in range(6000):
        drawn = [values[target] for target in noise.integers(3, size=3)]
        means.append(np.mean([noise.choice(each, len(each)).mean() for each in drawn]))
    found = draw_targets(values)
    assert found.shape == (10_000, 3)
    at = [0.025, 0.5, 0.975]
    assert np.quantile(found.mean(axis=1), at) == pytest.approx(np.quantile(means, at), abs=4e-3)


def test_many_targets_are_told_by_the_studentised_bootstrap_of_plain_loops() -> None:
    noise = np.random.default_rng(5)
    values = noise.exponential(size=(8, 3))
    means = values.mean(axis=1)
    error = means.std(ddof=1) / 8**0.5
    ratios = []
    for _ in range(3000):
        drawn = [noise.choice(values[target], 3).mean() for target in noise.integers(8, size=8)]
        ratios.append((np.mean(drawn) - means.mean()) / (np.std(drawn, ddof=1) / 8**0.5))
    low, high = np.quantile(ratios, [0.025, 0.975])
    found = infer_over_targets([*values])
    assert found.is_bootstrap
    expected = (means.mean() - high * error, means.mean() - low * error)
    assert found.interval == pytest.approx(expected, abs=0.15 * error)


def test_few_values_are_told_by_student_s_t() -> None:
    values = np.array([0.03, -0.01, 0.02])
    found, expected = infer(values), stats.ttest_1samp(values, 0)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_the_p_value_agrees_with_the_interval() -> None:
    noise = np.random.default_rng(0)
    for shift in np.linspace(-0.08, 0.08, 21):
        found = infer_over_targets([*noise.normal(shift, 0.05, (8, 4))])
        low, high = found.interval
        assert (found.p_value < 0.05) == (low > 0 or high < 0)


@pytest.mark.parametrize("targets", [2, 4, 5, 6, 8])
def test_no_p_value_is_below_what_luck_with_the_signs_of_targets_can_do(targets: int) -> None:
    found = infer_over_targets([np.array([0.1, 0.11, 0.1 + 0.001 * at]) for at in range(targets)])
    assert found.p_value == pytest.approx(least_p(targets), rel=1e-3)
    assert (found.p_value < 0.05) == (targets >= FEW)


@pytest.mark.parametrize(
    "values", [np.array([0.0] * 5 + [0.1]), np.full(7, 0.1), np.array([0.1, 0.1])]
)
def test_values_without_spread_still_have_finite_bounds(values: Values) -> None:
    for found in (infer_over_seeds(values), infer_over_targets([*values[:, None]])):
        assert np.isfinite(found.interval).all()
        assert found.interval[0] - 1e-9 <= values.mean() <= found.interval[1] + 1e-9
        assert least_p(len(values)) <= found.p_value <= 1
