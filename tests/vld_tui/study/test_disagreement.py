"""Accuracy and balanced accuracy that disagree about which setting is better."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tests.vld_tui.study.made_outcomes import result
from tests.vld_tui.study.made_studies import RATES, half_done, state_of
from vld_tui.study.results.cells import complete_results, grid_so_far
from vld_tui.study.results.disagreement import Disagreement, disagreements
from vld_tui.study.results.outcomes import Outcome
from vld_tui.views.cautions import measure_cautions


def both(
    accuracies: Sequence[float], balanced: Sequence[float | None], *, rate: float, **fields: str
) -> list[Outcome]:
    """Return results of seeds, with their OOD accuracy and OOD balanced accuracy."""
    return [
        msgspec.structs.replace(
            result(rate=rate, seed=seed, ood_accuracy=accuracy, **fields),  # type: ignore[arg-type]
            measures={} if of_class is None else {"balanced_accuracy": (0.5, of_class)},
        )
        for seed, (accuracy, of_class) in enumerate(zip(accuracies, balanced, strict=True))
    ]


def rates(found: Sequence[Disagreement]) -> list[tuple[float, float]]:
    return [
        (each.setting.value("dropout_rate"), each.baseline.value("dropout_rate")) for each in found
    ]


def test_opposite_changes_beyond_chance_are_a_disagreement() -> None:
    plain = both([0.50, 0.52, 0.48], [0.40, 0.42, 0.38], rate=0.0)
    masked = both([0.57, 0.58, 0.56], [0.39, 0.40, 0.38], rate=0.9)
    [found] = disagreements([*plain, *masked])
    assert (found.dataset, found.target, found.seeds) == ("PACS", "sketch", 3)
    assert (found.accuracy, found.balanced) == pytest.approx((0.07, -0.01))
    [line] = measure_cautions([*plain, *masked])
    assert line == (
        "accuracy and balanced accuracy disagree on PACS → sketch: OOD changes by +7.0 and −1.0 "
        "points with λ 0.9 instead of λ 0 (3 seeds). Accuracy counts frequent classes more."
    )


@pytest.mark.parametrize(
    ("accuracies", "balanced"),
    [
        ([0.57, 0.58, 0.56], [0.41, 0.43, 0.39]),  # both rise
        ([0.50, 0.52, 0.48], [0.39, 0.41, 0.37]),  # one does not change
        ([0.51, 0.50, 0.51], [0.39, 0.44, 0.36]),  # no more than chance
        ([0.57, 0.58, 0.56], [None, None, None]),
    ],
)
def test_other_changes_are_none(
    accuracies: Sequence[float], balanced: Sequence[float | None]
) -> None:
    plain = both([0.50, 0.52, 0.48], [0.40, 0.42, 0.38], rate=0.0)
    assert disagreements([*plain, *both(accuracies, balanced, rate=0.9)]) == []


@pytest.mark.parametrize(("balanced", "count"), [(0.398, 1), (0.399, 0)])
def test_one_seed_needs_a_gap_of_a_point(balanced: float, count: int) -> None:
    plain, masked = both([0.5], [0.4], rate=0.0), both([0.5085], [balanced], rate=0.9)
    assert len(disagreements([*plain, *masked])) == count


def test_the_best_settings_by_either_measure_are_compared_too() -> None:
    """Both rates are better than none by both measures."""
    results = [
        *both([0.50], [0.40], rate=0.0),
        *both([0.55], [0.48], rate=0.5),
        *both([0.58], [0.44], rate=0.9),
    ]
    assert rates(disagreements(results)) == [(0.9, 0.5)]


def test_each_target_counts_for_itself_and_runs_of_other_seeds_do_not() -> None:
    results = [
        *both([0.50], [0.40], rate=0.0, target="art"),
        *both([0.60], [0.30], rate=0.9, target="art"),
        *both([0.50], [0.40], rate=0.0, target="photo"),
        *both([0.60], [0.50], rate=0.9, target="photo"),
        *both([0.50], [0.40], rate=0.0, target="pen", held_out_source="art"),
        *both([0.60], [0.30], rate=0.9, target="pen", held_out_source="art"),
    ]
    assert [each.target for each in disagreements(results)] == ["art"]
    other_seed = [msgspec.structs.replace(each, seed=(7, None)) for each in results[1:2]]
    assert disagreements([results[0], *other_seed]) == []


def test_settings_with_missing_runs_are_left_out_of_cautions() -> None:
    standing = state_of(RATES, half_done).standing
    assert standing is not None
    found = complete_results(grid_so_far(standing))
    assert [(each.target, each.setting.value("dropout_rate")) for each in found] == [
        ("fluent", 0.0)
    ] * 2


def test_of_many_pairs_some_are_named() -> None:
    results = both([0.5], [0.5], rate=0.0)
    for rate in (0.1, 0.2, 0.3, 0.4, 0.5):
        results += both([0.5 + rate / 10], [0.5 - rate / 5], rate=rate)
    [line] = measure_cautions(results)
    assert line.count("instead of") == 3
    assert "and 2 other pairs." in line
