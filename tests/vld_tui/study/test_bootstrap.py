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
    seeds_to_tell,
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


_SEEDS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=5)


@given(st.dictionaries(st.sampled_from("abcdefg"), _SEEDS, min_size=2))
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
    assert one.p_value == pytest.approx(other.p_value)


@given(st.integers(2, 6), st.integers(2, 8))
def test_no_difference_is_never_told_apart(seeds: int, targets: int) -> None:
    found = compare_pair(*_pair({f"t{at}": [0.0] * seeds for at in range(targets)}))
    assert found is not None
    assert found.interval is not None
    assert found.interval[0] <= 0 <= found.interval[1]
    assert found.p_value == 1
    assert found.seeds_needed is None


def test_one_target_tells_nothing_about_targets() -> None:
    found = compare_pair(*_pair({"art": [0.1, 0.12, 0.11]}))
    assert found is not None
    assert (found.interval, found.p_value, found.targets) == (None, None, 1)
    expected = stats.t.interval(0.95, 2, 0.11, 0.01 / 3**0.5)
    assert found.seeds_interval == pytest.approx(expected)


def test_effects_on_four_targets_are_told_by_student_s_t() -> None:
    effects = [0.03, 0.01, 0.02, 0.004]
    found = compare_pair(*_pair({f"t{at}": [each, each] for at, each in enumerate(effects)}))
    assert found is not None
    scipy_s = stats.ttest_1samp(effects, 0)
    assert found.interval == pytest.approx(tuple(scipy_s.confidence_interval(0.95)))
    assert found.bootstrap_interval is not None
    assert scipy_s.pvalue < 0.125
    assert found.p_value == 0.125


def test_the_interval_over_seeds_is_of_those_that_every_target_has() -> None:
    found = compare_pair(*_pair({"a": [0.1, 0.2, 0.3, 0.9], "b": [0.0, 0.2, 0.1]}))
    assert found is not None
    means = [0.05, 0.2, 0.2]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert found.seeds_interval == pytest.approx(tuple(expected))


def test_one_seed_tells_nothing_about_seeds() -> None:
    found = compare_pair(*_pair({"art": [0.1], "photo": [0.2]}))
    assert found is not None
    assert found.difference == pytest.approx(0.15)
    assert (found.seeds, found.targets) == (1, 2)
    unknown = (found.interval, found.p_value, found.seeds_interval, found.deviation)
    assert {*unknown, found.seeds_needed} == {None}


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
