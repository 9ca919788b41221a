"""Paired differences between settings, their intervals and how many seeds would tell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.vld_tui.study.made_outcomes import result, setting, study
from vld_tui.study.bootstrap import (
    compare_pair,
    compare_settings,
    find_baseline,
    paired_differences,
    percentiles,
    resampled_means,
    seeds_to_tell,
    two_sided_p,
)
from vld_tui.study.outcomes import Outcome, Setting


def _pair(differences: dict[str, list[float]]) -> tuple[list[Outcome], list[Outcome]]:
    places = [(t, seed, d) for t, of_seed in differences.items() for seed, d in enumerate(of_seed)]
    before = [result(target, seed=seed, ood_accuracy=0.5) for target, seed, _ in places]
    after = [
        result(target, seed=seed, rate=0.9, ood_accuracy=0.5 + difference)
        for target, seed, difference in places
    ]
    return before, after


def test_with_one_target_the_interval_is_scipy_s() -> None:
    differences = np.random.default_rng(1).normal(0.02, 0.03, 12)
    found = compare_pair(*_pair({"sketch": differences.tolist()}))
    assert found is not None
    assert found.interval is not None
    expected = stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", rng=2
    ).confidence_interval
    assert found.interval == pytest.approx((expected.low, expected.high), abs=2e-3)
    assert found.difference == pytest.approx(differences.mean())


def test_with_several_targets_the_interval_is_that_of_plain_loops() -> None:
    noise = np.random.default_rng(3)
    values = [noise.normal(0.05 * target, 0.05, 4 + target) for target in range(3)]
    means = []
    for _ in range(6000):
        drawn = [values[target] for target in noise.integers(3, size=3)]
        means.append(np.mean([noise.choice(each, len(each)).mean() for each in drawn]))
    expected = np.quantile(means, [0.025, 0.975])
    assert percentiles(resampled_means(values)) == pytest.approx(expected, abs=4e-3)


def test_targets_that_stay_leave_the_chance_of_seeds_alone() -> None:
    values = [np.array([0.1, 0.1, 0.1]), np.array([-0.1, -0.1, -0.1])]
    assert percentiles(resampled_means(values, with_targets=False)) == pytest.approx((0, 0))
    assert percentiles(resampled_means(values)) == pytest.approx((-0.1, 0.1))


_SEEDS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=5)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), _SEEDS, min_size=1))
def test_the_other_way_round_everything_changes_its_sign(
    differences: dict[str, list[float]],
) -> None:
    before, after = _pair(differences)
    one, other = compare_pair(before, after), compare_pair(after, before)
    assert one is not None
    assert other is not None
    assert one.interval is not None
    assert other.interval is not None
    assert one.difference == pytest.approx(-other.difference, abs=1e-9)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-9)
    assert one.p_value == other.p_value


@given(st.integers(2, 6), st.integers(1, 4))
def test_no_difference_is_never_told_apart(seeds: int, targets: int) -> None:
    found = compare_pair(*_pair({f"t{at}": [0.0] * seeds for at in range(targets)}))
    assert found is not None
    assert found.interval is not None
    assert found.interval[0] <= 0 <= found.interval[1]
    assert found.p_value == 1
    assert found.seeds_needed is None


def test_the_p_value_agrees_with_the_interval() -> None:
    noise = np.random.default_rng(0)
    for shift in np.linspace(-0.05, 0.05, 11):
        means = resampled_means([noise.normal(shift, 0.05, 6) for _ in range(4)])
        low, high = percentiles(means)
        assert (two_sided_p(means) < 0.05) == (low > 0 or high < 0)


@pytest.mark.parametrize(("targets", "seeds", "least"), [(1, 2, 0.5), (1, 3, 0.25), (4, 3, 2**-11)])
def test_few_pairs_allow_no_small_p_value(targets: int, seeds: int, least: float) -> None:
    pairs = {f"t{at}": [0.1 + 0.01 * seed for seed in range(seeds)] for at in range(targets)}
    found = compare_pair(*_pair(pairs))
    assert found is not None
    assert found.p_value == pytest.approx(least)


def test_one_seed_tells_nothing_about_seeds() -> None:
    found = compare_pair(*_pair({"art": [0.1], "photo": [0.2]}))
    assert found is not None
    assert found.difference == pytest.approx(0.15)
    assert (found.seeds, found.targets) == (1, 2)
    unknown = (found.interval, found.p_value, found.deviation, found.seeds_needed)
    assert unknown == (None, None, None, None)


def test_runs_are_paired_by_target_seed_and_cell() -> None:
    before = [
        result("art", cell=(1.0,), ood_accuracy=0.5), result("art", cell=(2.0,), ood_accuracy=0.1),
        result("art", cell=(1.0,), seed=1, ood_accuracy=0.4), result("photo", ood_accuracy=0.9),
    ]  # fmt: skip
    after = [
        result("art", cell=(1.0,), ood_accuracy=0.7), result("art", cell=(2.0,), ood_accuracy=0.2),
        result("art", cell=(3.0,), seed=1, ood_accuracy=0.9),
    ]  # fmt: skip
    found = paired_differences(before, after)
    assert {t: {s: pytest.approx(d) for s, d in each.items()} for t, each in found.items()} == {
        "art": {(0, None): 0.15}
    }
    assert compare_pair(before[-1:], after) is None


def test_each_setting_is_held_against_no_dropout_of_its_kind() -> None:
    settings = [
        Setting((("dropout_rate", rate), ("model", model)), arm)
        for rate, model, arm in itertools.product((0.0, 0.9), ("a", "b"), (None, "averaged"))
    ]
    for each in settings:
        baseline = find_baseline(each, settings)
        assert baseline == Setting((("dropout_rate", 0.0), ("model", each.value("model"))))
    without_rates = [Setting((("model", model),)) for model in "ab"]
    assert find_baseline(without_rates[1], without_rates) == without_rates[0]


def test_every_setting_but_the_baseline_is_compared() -> None:
    found = compare_settings(study(rates=(0.0, 0.5, 0.9)))
    assert [(each.baseline, each.setting) for each in found] == [
        (setting(0.0), setting(0.5)), (setting(0.0), setting(0.9)),
    ]  # fmt: skip
    assert all(each.targets == 4 and each.seeds == 3 for each in found)
    assert found == compare_settings(study(rates=(0.0, 0.5, 0.9)))


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 34), (0.8, 15), (1.0, 10), (0.2, 199)])
def test_seeds_that_tell_are_those_of_published_tables(effect: float, seeds: int) -> None:
    """G*Power 3.1, two-sided paired t test, level 5%, power 80%."""
    assert seeds_to_tell(effect, 1.0) == seeds
    assert seeds_to_tell(-effect * 0.01, 0.01) == seeds


def test_so_many_seeds_do_tell() -> None:
    seeds = seeds_to_tell(0.02, 0.015)
    assert seeds is not None
    noise = np.random.default_rng(0).normal(0.02, 0.015, (4000, seeds))
    found = stats.ttest_1samp(noise, 0, axis=1).pvalue
    assert (found < 0.05).mean() >= 0.8 - 0.02


def test_the_extremes_of_seeds_that_tell() -> None:
    assert seeds_to_tell(0.1, 0.0) == 2
    assert seeds_to_tell(1e-6, 1.0) is None
    assert seeds_to_tell(0.0, 0.1) is None
