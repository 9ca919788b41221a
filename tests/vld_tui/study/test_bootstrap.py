"""Paired differences between settings, their intervals and how many seeds would tell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.vld_tui.study.made_outcomes import result, setting, study
from vld_tui.study.results.inference import (
    compare_pair,
    compare_settings,
    find_baseline,
    pair_up,
    paired_changes,
    paired_differences,
    seeds_to_tell,
)
from vld_tui.study.results.outcomes import Outcome, Setting


def _pair(differences: dict[str, list[float]]) -> tuple[list[Outcome], list[Outcome]]:
    places = [(t, seed, d) for t, of_seed in differences.items() for seed, d in enumerate(of_seed)]
    before = [result(target, seed=seed, ood_accuracy=0.5) for target, seed, _ in places]
    after = [
        result(target, seed=seed, rate=0.9, ood_accuracy=0.5 + difference)
        for target, seed, difference in places
    ]
    return before, after


_SEEDS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=5)
_TARGETS = st.dictionaries(st.sampled_from("abcdefg"), _SEEDS, min_size=3)


@given(_TARGETS)
def test_the_other_way_round_everything_changes_its_sign(
    differences: dict[str, list[float]],
) -> None:
    before, after = _pair(differences)
    one, other = compare_pair(before, after), compare_pair(after, before)
    assert one is not None
    assert other is not None
    assert one.difference == pytest.approx(-other.difference, abs=1e-9)
    if one.interval is None or other.interval is None:
        assert one.interval == other.interval
        return
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-9)
    assert one.p_value == pytest.approx(other.p_value)


@given(st.integers(3, 6), st.integers(3, 8), st.sampled_from([0.0, 0.02]))
def test_equal_differences_have_no_interval_and_no_p(seeds: int, targets: int, one: float) -> None:
    found = compare_pair(*_pair({f"t{at}": [one] * seeds for at in range(targets)}))
    assert found is not None
    assert found.has_equal_seeds
    unknown = (found.interval, found.bootstrap_interval, found.seeds_interval, found.p_value,
               found.seeds_p_value, found.seeds_needed)  # fmt: skip
    assert {*unknown} == {None}


def test_targets_that_cancel_out_in_every_seed_are_no_difference_that_is_sure() -> None:
    """Rounding leaves a mean of 1e-17 without any spread: no p of 0."""
    found = compare_pair(*_pair({"a": [0.02] * 3, "b": [-0.02] * 3, "c": [0.0] * 3}))
    assert found is not None
    assert found.seeds_p_value is None
    assert found.interval is not None


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
    assert (found.seeds, found.shared_seeds) == (3, 3)
    expected = stats.ttest_1samp([0.05, 0.2, 0.2], 0).confidence_interval(0.95)
    assert found.seeds_interval is not None
    low, high = found.seeds_interval
    assert high - low == pytest.approx(expected.high - expected.low)
    assert (low + high) / 2 == pytest.approx(found.difference) == pytest.approx(0.2375)


@given(_TARGETS)
def test_every_interval_stands_around_the_difference(differences: dict[str, list[float]]) -> None:
    found = compare_pair(*_pair(differences))
    assert found is not None
    for interval in (found.interval, found.seeds_interval):
        if interval is not None:
            assert sum(interval) / 2 == pytest.approx(found.difference, abs=1e-9)


def test_two_seeds_are_too_few_for_an_interval_and_want_a_third() -> None:
    found = compare_pair(*_pair({"art": [0.1, 0.101], "pen": [0.1, 0.102], "ink": [0.1, 0.1]}))
    assert found is not None
    assert (found.seeds_interval, found.seeds_p_value) == (None, None)
    assert found.deviation == pytest.approx(0.001 / 2**0.5)
    assert found.more_seeds == 1
    assert found.interval is not None


def test_two_targets_are_too_few_for_an_interval() -> None:
    found = compare_pair(*_pair({"art": [0.1, 0.2, 0.3], "pen": [0.1, 0.1, 0.1]}))
    assert found is not None
    assert (found.interval, found.p_value) == (None, None)
    assert found.seeds_interval is not None


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
    found = paired_differences(pair_up(before, after))
    assert {t: {s: pytest.approx(d) for s, d in each.items()} for t, each in found.items()} == {
        "art": {(0, None): 0.15}
    }
    assert compare_pair(before[-1:], after) is None


def test_cells_with_fewer_seeds_count_as_much_as_others() -> None:
    """The mean over cells of the mean over seeds, as accuracies are: (0.3 + 0.1) / 2."""
    before = [result(cell=(1.0,), seed=seed, id_accuracy=0.9, ood_accuracy=0.1) for seed in (0, 1)]
    before += [result(cell=(2.0,), id_accuracy=0.9, ood_accuracy=0.5)]
    after = [
        result(cell=(1.0,), rate=0.9, id_accuracy=0.8, ood_accuracy=0.3),
        result(cell=(1.0,), rate=0.9, seed=1, id_accuracy=0.8, ood_accuracy=0.5),
        result(cell=(2.0,), rate=0.9, id_accuracy=0.5, ood_accuracy=0.6),
    ]
    ids, oods = paired_changes(pair_up(before, after))["sketch"]
    assert [ids, oods] == pytest.approx([-0.25, 0.2])
    found = compare_pair(before, after)
    assert found is not None
    assert found.difference == oods


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
    low, high, other_model = (
        Setting((("dropout_rate", rate), ("model", model)))
        for rate, model in ((0.5, "a"), (0.9, "a"), (0.0, "b"))
    )
    assert find_baseline(high, [low, high, other_model]) == other_model


def test_every_setting_but_the_baseline_is_compared() -> None:
    found = compare_settings(study(rates=(0.0, 0.5, 0.9)))
    assert [(each.baseline, each.setting) for each in found] == [
        (setting(0.0), setting(0.5)), (setting(0.0), setting(0.9)),
    ]  # fmt: skip
    assert all(each.targets == 4 and each.seeds == 3 for each in found)
    assert found == compare_settings(study(rates=(0.0, 0.5, 0.9)))


def test_p_values_are_adjusted_for_the_comparisons_on_one_data_set() -> None:
    results = study(rates=(0.0, 0.5, 0.9, 0.95)) + study(dataset="VLCS", noise_seed=1)
    found = compare_settings(results)
    assert [each.comparisons for each in found] == [3, 3, 3, 1]
    for family in (found[:3], found[3:]):
        for known, adjusted in (
            ([each.p_value for each in family], [each.p_adjusted for each in family]),
            ([each.seeds_p_value for each in family], [each.seeds_p_adjusted for each in family]),
        ):
            p_values = [p for p in known if p is not None]
            assert adjusted == pytest.approx(stats_holm(p_values))
    assert all(each.p_adjusted is not None and each.p_adjusted >= 0.125 for each in found)


def test_a_comparison_without_a_p_value_counts_in_its_family() -> None:
    results = study(rates=(0.0, 0.5, 0.9))
    half = [each for each in results if each.setting != setting(0.9) or each.seed[0] == 0]
    whole, one_seed = compare_settings(half)
    assert (one_seed.seeds_p_value, one_seed.seeds_p_adjusted) == (None, None)
    assert whole.seeds_p_value is not None
    assert whole.comparisons == 2
    assert whole.seeds_p_adjusted == pytest.approx(min(1.0, 2 * whole.seeds_p_value))


def stats_holm(p_values: list[float]) -> list[float]:
    """Adjust by the definition: the largest of (m − j + 1) · p(j) over all p(j) up to this."""
    ordered = sorted(p_values)
    return [
        max(
            min(1.0, (len(ordered) - at) * p)
            for at, p in enumerate(ordered[: ordered.index(each) + 1])
        )
        for each in p_values
    ]


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
