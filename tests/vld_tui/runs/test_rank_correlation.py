"""Spearman's rank correlation within groups, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from vld_tui.runs.statistics import rank_correlation


def pairs(count: int, slope: float, seed: int = 0) -> list[tuple[float, float]]:
    noise = np.random.default_rng(seed)
    x = noise.normal(size=count)
    return [*zip(x.tolist(), (slope * x + noise.normal(size=count)).tolist(), strict=True)]


@pytest.mark.parametrize("decimals", [0, 8])
def test_one_group_gives_spearman_s_coefficient(decimals: int) -> None:
    given = [(round(x, decimals), y) for x, y in pairs(30, 0.8)]
    found = rank_correlation([given])
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(*zip(*given, strict=True)).statistic)
    assert found.pairs == 30


def test_the_interval_is_that_of_bonett_and_wright() -> None:
    found = rank_correlation([pairs(30, 0.8)])
    assert found is not None
    assert found.interval is not None
    half = 1.959963984540054 * math.sqrt((1 + found.rho**2 / 2) / 27)
    low, high = (math.atanh(end) for end in found.interval)
    assert (high - low) / 2 == pytest.approx(half)
    assert (high + low) / 2 == pytest.approx(math.atanh(found.rho))


def test_the_interval_covers_independent_values_95_percent_of_the_time() -> None:
    found = [
        rank_correlation([pairs(8, 0, seed=4 * at + k) for k in range(4)]) for at in range(400)
    ]
    ends = [each.interval for each in found if each is not None and each.interval is not None]
    assert len(ends) == 400
    assert 0.92 <= sum(low <= 0 <= high for low, high in ends) / 400 <= 0.98


def test_groups_at_other_levels_add_nothing_by_their_level() -> None:
    low = [(1.0, 5.0), (2.0, 4.0), (3.0, 3.0)]
    high = [(x + 100, y + 100) for x, y in low]
    found = rank_correlation([low, high])
    assert found is not None
    assert found.rho == pytest.approx(-1)
    together = rank_correlation([[*low, *high]])
    assert together is not None
    assert together.rho > 0


def test_a_perfect_order_and_few_pairs_have_no_interval() -> None:
    perfect = rank_correlation([[(float(at), float(at)) for at in range(20)]])
    assert perfect is not None
    assert perfect.rho == pytest.approx(1)
    assert perfect.interval is None
    few = rank_correlation([[(1, 2), (2, 1), (3, 3)]])
    assert few is not None
    assert few.interval is None


@pytest.mark.parametrize("groups", [[], [[(1, 2)], [(3, 4)]], [[(1, 2), (1, 3), (1, 4)]]])
def test_without_variation_there_is_no_correlation(
    groups: list[list[tuple[float, float]]],
) -> None:
    assert rank_correlation(groups) is None
