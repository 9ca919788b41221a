"""Each setting against its baseline on each target, with what its interval says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tests.vld_tui.study.made_outcomes import result
from vld_tui.study.results.inference import target_changes
from vld_tui.study.results.outcomes import OOD, Outcome, measured
from vld_tui.views.changes import change_lines, change_records, changes_sentence


def seeds(accuracies: Sequence[float], *, rate: float, target: str = "sketch") -> list[Outcome]:
    return [
        result(rate=rate, target=target, seed=seed, ood_accuracy=accuracy)
        for seed, accuracy in enumerate(accuracies)
    ]


PLAIN = seeds([0.50, 0.52, 0.48], rate=0.0)


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [
        ([0.57, 0.58, 0.56], "better"),
        ([0.43, 0.46, 0.41], "worse"),
        ([0.51, 0.50, 0.52], "unclear"),
        ([0.60, 0.62, 0.58], "unclear"),  # no spread, so no interval
        ([0.60, 0.61], "unclear"),  # too few pairs
    ],
)
def test_only_an_interval_without_zero_tells_two_settings_apart(
    accuracies: list[float], verdict: str
) -> None:
    (found,) = target_changes([*PLAIN, *seeds(accuracies, rate=0.9)], OOD)
    assert (found.setting.value("dropout_rate"), found.baseline.value("dropout_rate")) == (0.9, 0)
    assert found.verdict == verdict
    assert found.seeds == len(accuracies)


def test_the_interval_is_that_of_paired_differences() -> None:
    (found,) = target_changes([*PLAIN, *seeds([0.56, 0.59, 0.56], rate=0.9)], OOD)
    assert found.change == pytest.approx(0.07)
    assert found.interval == pytest.approx((0.07 - 0.0248414, 0.07 + 0.0248414), abs=1e-6)


def test_a_measure_that_is_better_when_lower_is_read_that_way() -> None:
    error = measured("calibration_error")[1]
    results = [
        msgspec.structs.replace(each, measures={"calibration_error": (0.1, each.ood_accuracy)})
        for each in [*PLAIN, *seeds([0.57, 0.58, 0.56], rate=0.9)]
    ]
    (found,) = target_changes(results, error)
    assert (found.change > 0, found.verdict) == (True, "worse")


def test_results_without_the_measure_are_left_out() -> None:
    assert target_changes([*PLAIN, *seeds([0.6], rate=0.9)], measured("balanced_accuracy")[1]) == []


def test_the_sentence_and_the_table_are_those_of_the_numbers() -> None:
    results = [
        *PLAIN,
        *seeds([0.56, 0.59, 0.56], rate=0.9),
        *seeds([0.5, 0.6, 0.7], rate=0.0, target="photo"),
        *seeds([0.7, 0.5, 0.7], rate=0.9, target="photo"),
    ]
    changes = target_changes(results, OOD)
    assert changes_sentence(changes) == (
        "With λ 0.9 instead of λ 0, OOD accuracy is better on sketch (+7.0 points) and not "
        "distinguishable on photo (95% intervals over 3 seeds, not adjusted for several "
        "comparisons)."
    )
    assert list(change_lines(changes, None)) == [
        "PACS: OOD change with λ 0.9 instead of λ 0, points (95% interval)",
        "target  accuracy",
        "sketch  +7.0 (+4.5 to +9.5)",
        "photo   +3.3 (−34.6 to +41.3)",
    ]
    (record, _) = change_records(changes)
    assert (record["target"], record["measure"], record["verdict"]) == (
        "sketch", "ood_accuracy", "better",
    )  # fmt: skip
