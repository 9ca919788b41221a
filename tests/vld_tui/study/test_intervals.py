"""Intervals and p-values of few targets and seeds, held against simulation and scipy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import CASES, TARGETS, monte_carlo_error, simulate
from vld_tui.report.differences import OVER_TARGETS
from vld_tui.runs.curves import Values
from vld_tui.study.results.inference import (
    FEW,
    Bounds,
    Inference,
    bootstrap_interval,
    draw_targets,
    holm,
    infer,
    infer_targets,
    least_p,
)

DOCS: Final = Path(__file__).parents[3] / "docs" / "report.md"
DRAWS: Final = 1500
BOOTSTRAP_DRAWS: Final = 60


def _leaves_out(intervals: list[Bounds | None]) -> float:
    """Return how large a share of intervals leaves out 0."""
    assert all(interval is not None for interval in intervals)
    return sum(each[0] > 0 or each[1] < 0 for each in intervals if each) / len(intervals)


def _inferred(values: Values) -> Inference:
    found = infer_targets(values)
    assert found is not None
    return found


def _interval(values: Values) -> Bounds | None:
    return _inferred(values).interval


def _without_effect(times: int, between: float, noise: np.random.Generator) -> Values:
    """Return (times, 4 targets, 3 seeds); targets differ by ``between`` deviations of seeds."""
    of_targets = between * noise.normal(size=(times, 4, 1))
    return np.asarray(of_targets + noise.normal(size=(times, 4, 3)))


@pytest.mark.parametrize("between", [0.0, 0.3, 1.0, 3.0])
def test_without_an_effect_intervals_leave_out_zero_as_often_as_they_say(between: float) -> None:
    values = _without_effect(2000, between, np.random.default_rng(0))
    by_t = [_interval(each.mean(axis=1)) for each in values]
    assert _leaves_out(by_t) == pytest.approx(0.05, abs=0.02)
    drawn = [bootstrap_interval([*each], resamples=500) for each in values[:600]]
    assert _leaves_out(drawn) == pytest.approx(0.05, abs=0.03)


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


def test_the_studentised_bootstrap_is_that_of_plain_loops() -> None:
    noise = np.random.default_rng(5)
    values = noise.exponential(size=(8, 3))
    means = values.mean(axis=1)
    error = means.std(ddof=1) / 8**0.5
    ratios = []
    for _ in range(3000):
        drawn = [noise.choice(values[target], 3).mean() for target in noise.integers(8, size=8)]
        ratios.append((np.mean(drawn) - means.mean()) / (np.std(drawn, ddof=1) / 8**0.5))
    low, high = np.quantile(ratios, [0.025, 0.975])
    expected = (means.mean() - high * error, means.mean() - low * error)
    assert bootstrap_interval([*values]) == pytest.approx(expected, abs=0.15 * error)


def test_few_values_are_told_by_student_s_t() -> None:
    values = np.array([0.03, -0.01, 0.02])
    found, expected = _inferred(values), stats.ttest_1samp(values, 0)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_the_p_value_agrees_with_the_interval() -> None:
    noise = np.random.default_rng(0)
    for shift in np.linspace(-0.08, 0.08, 21):
        found = _inferred(noise.normal(shift, 0.05, 8))
        low, high = found.interval
        assert (found.p_value < 0.05) == (low > 0 or high < 0)


@pytest.mark.parametrize("targets", [3, 4, 5, 6, 8])
def test_no_p_value_is_below_what_luck_with_the_signs_of_targets_can_do(targets: int) -> None:
    found = _inferred(np.array([0.1 + 1e-4 * at for at in range(targets)]))
    assert found.p_value == pytest.approx(least_p(targets), rel=1e-3)
    assert (found.p_value < 0.05) == (targets >= FEW)


def test_values_of_little_spread_have_finite_bounds() -> None:
    values = np.array([0.0] * 5 + [0.1])
    found = _inferred(values)
    assert np.isfinite(found.interval).all()
    assert found.interval[0] <= values.mean() <= found.interval[1]
    assert least_p(len(values)) <= found.p_value <= 1
    assert bootstrap_interval([*values[:, None]]) is None  # most draws have no spread to divide by


@pytest.mark.parametrize("value", [0.0, 0.1, 0.72 - 0.7])
def test_equal_values_show_nothing_of_others(value: float) -> None:
    values = np.full(7, value) + np.array([0, 1e-17] * 3 + [0])
    assert infer(values) is None
    assert infer(values, 1e-17) is None
    assert infer_targets(values) is None
    assert bootstrap_interval([*values[:, None]]) is None


def test_three_targets_are_too_few_to_draw_from() -> None:
    assert bootstrap_interval([np.array([0.1, 0.2])] * 3) is None


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.3]])
def test_one_and_two_values_are_too_few_for_an_interval(values: list[float]) -> None:
    assert infer(np.array(values)) is None
    assert infer_targets(np.array(values)) is None


def test_without_targets_p_is_that_of_student_s_t_alone() -> None:
    values = np.array([0.030, 0.031, 0.029])
    found = infer(values)
    assert found is not None
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert found.p_value < least_p(3)


def test_an_interval_can_stand_around_a_better_known_mean() -> None:
    values = np.array([0.01, 0.05, 0.03, 0.02])
    own, moved = infer(values), infer(values, 0.04)
    assert own is not None
    assert moved is not None
    widths = [each.interval[1] - each.interval[0] for each in (own, moved)]
    assert widths[0] == pytest.approx(widths[1])
    assert sum(moved.interval) / 2 == pytest.approx(0.04)
    assert moved.p_value < own.p_value


def test_holm_s_adjusted_p_values_are_those_of_a_worked_example() -> None:
    """Holm's steps: 4 × 0.005, 3 × 0.01, 2 × 0.03, then no less than what came before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_of_true_hypotheses_holm_rejects_any_in_one_family_of_twenty() -> None:
    noise = np.random.default_rng(0)
    families = noise.random((4000, 11))
    rejected = np.mean([min(holm([*map(float, each)])) < 0.05 for each in families])
    assert rejected == pytest.approx(0.05, abs=0.012)


def documented() -> dict[tuple[str, int], list[float]]:
    """Return the shares in the documentation's table, by case and number of targets."""
    rows = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in CASES and len(cells) == 5:
            shares = [float(re.split(" ± ", cell)[0]) / 100 for cell in cells[2:]]
            rows[cells[0], int(cells[1])] = shares
    return rows


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_the_documented_shares_are_those_of_the_simulation(case: str, targets: int) -> None:
    over_seeds, over_targets, bootstrap = documented()[case, targets]
    found = simulate(case, targets, DRAWS, BOOTSTRAP_DRAWS)
    for share, expected, draws in (
        (found.over_seeds, over_seeds, DRAWS),
        (found.over_targets, over_targets, DRAWS),
        (found.bootstrap, bootstrap, BOOTSTRAP_DRAWS),
    ):
        assert share == pytest.approx(expected, abs=4 * monte_carlo_error(expected, draws))


def test_the_interval_over_seeds_keeps_its_level_where_those_over_targets_do_not() -> None:
    for over_seeds, over_targets, bootstrap in documented().values():
        assert over_seeds < 0.07
        assert over_targets >= 0.045
        assert bootstrap >= 0.045
    worst = max(over_targets for _, over_targets, _ in documented().values())
    assert worst > 0.3


def test_the_caution_names_what_was_simulated() -> None:
    (named,) = re.findall(r"missed the true value in (\d+)% of simulated", OVER_TARGETS)
    shares = [documented()[case, 4][1] for case in CASES if "shift" in case or "corr" in case]
    assert {round(100 * share) for share in shares} == {int(named)}
