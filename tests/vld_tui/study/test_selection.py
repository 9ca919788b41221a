"""Choosing by what one may know, beside an oracle: no leak from the target; figure 2's cloud."""

from __future__ import annotations

import itertools
import math
import statistics

import msgspec
import numpy as np
import pytest

from tests.vld_tui.study.made_outcomes import CELLS, TARGETS, result, setting, study
from vld_tui.runs.metrics import LastEvaluation
from vld_tui.study.results.outcomes import OOD, Outcome, SelectionValues, mean_accuracies
from vld_tui.study.results.selection import (
    METHODS,
    SAMPLED_WAYS,
    Method,
    Selection,
    choose_cells,
    choose_settings,
    clouds,
    hull,
    leave_one_source_out_scores,
    make_cloud,
    ways_to_pick,
)


def _of(selections: list[Selection], method: Method) -> list[Selection]:
    return [each for each in selections if each.method == method]


def test_each_method_chooses_what_it_sees_as_best() -> None:
    a, b = (1.0,), (2.0,)
    results = [
        result("art", cell=a, id_accuracy=0.9, ood_accuracy=0.3, domains={"art": 0.3, "pen": 0.9}),
        result("art", cell=b, id_accuracy=0.8, ood_accuracy=0.6, domains={"art": 0.6, "pen": 0.8}),
        result("pen", held_out_source="art", cell=a, domains={"art": 0.1, "pen": 0.2}),
        result("pen", held_out_source="art", cell=b, domains={"art": 0.1, "pen": 0.4}),
    ]
    chosen = {each.method: each.choices[0] for each in choose_cells(results)}
    assert {method: each.cell for method, each in chosen.items()} == {
        "id": a, "leave_one_source_out": b, "oracle": b,
    }  # fmt: skip
    assert chosen["id"].ood_accuracy == 0.3
    assert chosen["leave_one_source_out"].score == 0.4
    assert chosen["oracle"].score == chosen["oracle"].ood_accuracy == 0.6


def test_scores_are_means_over_the_sources_by_hand() -> None:
    """Each domain left out beside the target counts once, whichever of the two is the target."""
    results = [
        result("a", domains={"a": 0.9, "b": 0.9, "c": 0.9}),
        result("a", held_out_source="b", seed=0, domains={"a": 0.1, "b": 0.4, "c": 0.9}),
        result("b", held_out_source="a", seed=1, domains={"a": 0.2, "b": 0.6, "c": 0.9}),
        result("c", held_out_source="a", domains={"a": 0.3, "b": 0.9, "c": 0.8}),
        result("b", held_out_source="c", domains={"a": 0.0, "b": 0.0, "c": 0.0}),
    ]
    scores = leave_one_source_out_scores("a", results)
    assert scores == {(setting(0.0), ()): pytest.approx((0.5 + 0.8) / 2)}


def test_a_cell_without_a_run_for_each_source_has_no_score() -> None:
    results = [
        result("a", domains={"a": 0.9, "b": 0.9, "c": 0.9}),
        result("a", held_out_source="b", domains={"a": 0.1, "b": 0.4, "c": 0.9}),
    ]
    assert leave_one_source_out_scores("a", results) == {}
    assert _of(choose_cells(results), "leave_one_source_out") == []


def test_seeds_are_averaged_before_choosing_and_after() -> None:
    results = [
        result(cell=(at,), seed=seed, id_accuracy=accuracy, ood_accuracy=accuracy / 2)
        for at, accuracies in ((1.0, (0.5, 0.6)), (2.0, (0.1, 0.9)))
        for seed, accuracy in enumerate(accuracies)
    ]
    (by_id,) = _of(choose_cells(results), "id")
    assert by_id.choices[0].cell == (1.0,)
    assert by_id.choices[0].ood_accuracy == pytest.approx(0.275)


def test_of_equal_candidates_the_first_is_chosen() -> None:
    found = choose_cells([result(cell=(at,), ood_accuracy=0.5) for at in (2.0, 1.0, 3.0)])
    assert [(each.method, each.choices[0].cell) for each in found] == [
        ("id", (2.0,)), ("oracle", (2.0,)),
    ]  # fmt: skip


def test_a_method_that_cannot_choose_for_a_target_is_left_out() -> None:
    unknown = msgspec.structs.replace(result("pen"), last=None)
    found = choose_cells([result("art"), unknown])
    assert [(each.method, [choice.target for choice in each.choices]) for each in found] == [
        ("id", ["art", "pen"])
    ]


def test_the_oracle_is_domainbed_s() -> None:
    """It chooses by the target's unreported images at the last step, and is told there."""
    results = [
        result(cell=(1.0,), seed=seed, id_accuracy=0.9, ood_accuracy=0.8,
               last=LastEvaluation(300, 0.7, 0.6 + 0.1 * seed, 0.3))
        for seed in (0, 1)
    ] + [
        result(cell=(2.0,), seed=seed, id_accuracy=0.8, ood_accuracy=0.7,
               last=LastEvaluation(300, 0.6, 0.5, 0.2 + 0.3 * seed))
        for seed in (0, 1)
    ]  # fmt: skip
    (oracle,) = _of(choose_cells(results), "oracle")
    (choice,) = oracle.choices
    assert choice.cell == (2.0,)
    assert choice.score == pytest.approx(0.35)
    assert (choice.id_accuracy, choice.ood_accuracy) == (0.6, 0.5)


def test_where_the_last_evaluation_is_not_known_there_is_no_oracle() -> None:
    known = [result(cell=(at,), ood_accuracy=at / 4) for at in (1.0, 2.0)]
    unknown = msgspec.structs.replace(known[1], seed=(1, None), last=None)
    (oracle,) = _of(choose_cells([*known, unknown]), "oracle")
    assert (oracle.choices[0].cell, oracle.choices[0].candidates) == ((1.0,), 1)
    assert _of(choose_cells([unknown]), "oracle") == []


def test_no_method_beats_an_oracle_that_sees_what_is_reported() -> None:
    for found in (choose_cells(study(with_held_out=True)), choose_settings(study())):
        for oracle in _of(found, "oracle"):
            same = [each for each in found if (each.among, each.arm) == (oracle.among, oracle.arm)]
            assert all(each.ood_accuracy <= oracle.ood_accuracy for each in same)


def test_settings_are_chosen_for_each_way_of_predicting() -> None:
    results = [
        result(rate=rate, arm=arm, id_accuracy=0.9 - rate / 2, ood_accuracy=0.3 + rate / 2)
        for arm in (None, "averaged")
        for rate in (0.0, 0.5, 0.9)
    ]
    found = choose_settings(results)
    assert [(each.arm, each.method, each.choices[0].setting) for each in found] == [
        (arm, method, setting(rate, arm))
        for arm in (None, "averaged")
        for method, rate in (("id", 0.0), ("oracle", 0.9))
    ]
    assert choose_settings(results[:1]) == []


def _permuted(results: list[Outcome], target: str, noise: np.random.Generator) -> list[Outcome]:
    """Return the results with everything that was measured on ``target`` shuffled among them."""
    order = noise.permutation([at for at, each in enumerate(results) if target in each.domains])
    changed = list(results)
    for at, other in zip(sorted(order), order, strict=True):
        domains = results[at].domains | {target: results[other].domains[target]}
        changed[at] = msgspec.structs.replace(results[at], domains=domains)
        if results[at].target == target:
            accuracy = domains[target]
            last = LastEvaluation(300, 0.5, accuracy, accuracy)
            changed[at] = msgspec.structs.replace(changed[at], ood_accuracy=accuracy, last=last)
    return changed


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_the_oracle_reads_an_accuracy_on_the_target(target: str) -> None:
    results = study(with_held_out=True, seeds=(0, 1))
    permuted = _permuted(results, target, np.random.default_rng(7))
    for choosing in (choose_cells, choose_settings):
        before, after = (
            {
                (each.method, each.among): (choice.setting, choice.cell, choice.score)
                for each in choosing(every)
                for choice in each.choices
                if choice.target == target
            }
            for every in (results, permuted)
        )
        blind = [key for key in before if key[0] != "oracle"]
        assert {key[0] for key in blind} == {*METHODS} - {"oracle"}
        assert {key: before[key] for key in blind} == {key: after[key] for key in blind}
        assert before != after


def test_choosing_is_the_argmax_of_plain_loops() -> None:
    results = study(with_held_out=True, seeds=(0,))
    selections = _of(choose_settings(results), "leave_one_source_out")
    for choice in selections[0].choices:
        scores = {}
        for rate, cell in itertools.product((0.0, 0.9), CELLS):
            accuracies = []
            for source in TARGETS:
                accuracies += [
                    each.domains[source]
                    for each in results
                    if {each.target, each.held_out_source} == {choice.target, source}
                    and each.setting == setting(rate)
                    and each.cell == cell
                ]
            scores[rate, cell] = statistics.fmean(accuracies)
        best = max(scores, key=lambda key: scores[key])
        assert (choice.setting.value("dropout_rate"), choice.cell) == best


def test_results_of_which_some_have_no_target_have_no_mean_ood_accuracy() -> None:
    without = msgspec.structs.replace(result(id_accuracy=0.7), ood_accuracy=None)
    assert mean_accuracies([result(), result(id_accuracy=0.7)]) == pytest.approx((0.6, 0.5))
    assert mean_accuracies([result(), without]) == pytest.approx((0.6, math.nan), nan_ok=True)


def test_six_cells_and_four_targets_give_1296_points_of_72_runs() -> None:
    for cloud in clouds(study()):
        assert len(cloud.ids) == len(cloud.oods) == cloud.ways == 1296
        assert cloud.runs == 72
        assert (cloud.fewest_seeds, cloud.most_seeds) == (3, 3)
        assert cloud.cells == (6, 6, 6, 6)
        assert cloud.targets == TARGETS
        assert not cloud.is_sampled


def test_the_points_are_those_of_brute_force() -> None:
    results = study(rates=(0.9,))
    means = {
        (target, cell): [
            statistics.fmean(
                getattr(each, name)
                for each in results
                if each.target == target and each.cell == cell
            )
            for name in ("id_accuracy", "ood_accuracy")
        ]
        for target in TARGETS
        for cell in CELLS
    }
    expected = [
        np.mean([means[pair] for pair in zip(TARGETS, picked, strict=True)], axis=0)
        for picked in itertools.product(CELLS, repeat=len(TARGETS))
    ]
    (cloud,) = clouds(results)
    assert np.stack([cloud.ids, cloud.oods], axis=1) == pytest.approx(np.array(expected))


def test_the_centre_is_the_mean_of_the_points() -> None:
    for cloud in clouds(study(noise_seed=3)):
        assert cloud.id_accuracy == pytest.approx(cloud.ids.mean())
        assert cloud.ood_accuracy == pytest.approx(cloud.oods.mean())


def test_seeds_are_averaged_before_anything_is_picked() -> None:
    results = [
        result("art", seed=0, ood_accuracy=0.2),
        result("art", seed=1, ood_accuracy=0.4),
        result("photo", seed=0, ood_accuracy=0.9),
    ]
    cloud = make_cloud(results)
    assert cloud.oods == pytest.approx([(0.3 + 0.9) / 2])
    assert (cloud.fewest_seeds, cloud.most_seeds, cloud.ways) == (1, 2, 1)


def test_a_target_with_fewer_cells_has_fewer_ways() -> None:
    cloud = make_cloud(
        [result("art", cell=(at,)) for at in range(3)]
        + [result("photo", cell=(at,)) for at in range(2)]
    )
    assert (cloud.ways, cloud.cells) == (6, (3, 2))


def test_too_many_ways_are_sampled_and_the_centre_stays_exact() -> None:
    noise = np.random.default_rng(0)
    cells = [(float(at),) for at in range(12)]
    results = [
        result(f"d{target}", cell=cell, id_accuracy=noise.uniform(), ood_accuracy=noise.uniform())
        for target in range(6)
        for cell in cells
    ]
    cloud = make_cloud(results)
    assert cloud.ways == 12**6
    assert len(cloud.ids) == SAMPLED_WAYS
    assert cloud.is_sampled
    assert cloud.ood_accuracy == pytest.approx(np.mean([each.ood_accuracy for each in results]))
    assert cloud.oods.mean() == pytest.approx(cloud.ood_accuracy, abs=2e-3)
    assert (make_cloud(results).oods == cloud.oods).all()


def test_domainnet_is_enumerated_in_full() -> None:
    means = [np.random.default_rng(at).uniform(size=(6, 2)) for at in range(6)]
    assert ways_to_pick(means).shape == (46_656, 2)


def test_runs_that_held_out_a_source_are_no_part_of_it() -> None:
    without = clouds(study(targets=TARGETS[:3]))
    held_out = result("art", rate=0.9, held_out_source="photo", ood_accuracy=0.0, cell=CELLS[0])
    with_held_out = clouds([*study(targets=TARGETS[:3]), held_out])
    assert [each.ood_accuracy for each in with_held_out] == [e.ood_accuracy for e in without]


def test_each_setting_has_its_own_cloud_and_own_networks_come_first() -> None:
    results = [result(rate=rate, arm=arm) for arm in ("averaged", None) for rate in (0.9, 0.0, 0.5)]
    assert [cloud.setting for cloud in clouds(results)] == [
        setting(rate, arm) for arm in (None, "averaged") for rate in (0.0, 0.5, 0.9)
    ]


def test_the_spread_over_seeds_is_of_seeds_that_have_everything() -> None:
    results = study(rates=(0.9,))
    centres = [
        np.mean([each.ood_accuracy or 0.0 for each in results if each.seed == (seed, None)])
        for seed in range(3)
    ]
    found = OOD.estimate(results)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(centres))
    assert found.deviation == pytest.approx(np.std(centres, ddof=1))
    fewer = OOD.estimate(results[:-1])
    assert fewer is not None
    assert fewer.n == 2


def test_the_outline_holds_every_point() -> None:
    noise = np.random.default_rng(0).uniform(size=(200, 2))
    corners = hull(noise[:, 0], noise[:, 1])
    edges = np.roll(corners, -1, axis=0) - corners
    for corner, edge in zip(corners, edges, strict=True):
        away = noise - corner
        assert (edge[0] * away[:, 1] - edge[1] * away[:, 0] >= -1e-12).all()


@pytest.mark.parametrize(
    ("points", "corners"),
    [([(0.5, 0.5)], 1), ([(0.1, 0.1)] * 5, 1), ([(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], 2)],
)
def test_points_without_an_outline_have_ends(
    points: list[tuple[float, float]], corners: int
) -> None:
    places = np.array(points)
    assert len(hull(places[:, 0], places[:, 1])) == corners


def test_no_results_make_no_cloud() -> None:
    with pytest.raises(ValueError, match="one result"):
        make_cloud([])


def _scored(outcome: Outcome, score: float, domains: dict[str, float], out: float) -> Outcome:
    values = SelectionValues(score, domains, out)
    return msgspec.structs.replace(outcome, selected_on="balanced", scores=values)


def test_runs_selected_on_balanced_accuracy_are_chosen_by_it() -> None:
    """By accuracy every method would choose b."""
    a, b = (1.0,), (2.0,)
    high, low = {"art": 0.1, "pen": 0.1}, {"art": 0.9, "pen": 0.9}
    results = [
        _scored(result("art", cell=a, domains=high), 0.7, {"art": 0.6}, 0.6),
        _scored(
            result("art", cell=b, id_accuracy=0.9, ood_accuracy=0.9, domains=low),
            0.2,
            {"art": 0.3},
            0.3,
        ),
        _scored(result("pen", held_out_source="art", cell=a, domains=high), 0.5, low, 0.5),
        _scored(result("pen", held_out_source="art", cell=b, domains=low), 0.5, high, 0.5),
    ]
    chosen = choose_cells(results)
    assert [each.choices[0].cell for each in chosen] == [a, a, a]
    assert [each.choices[0].score for each in chosen] == [0.7, 0.9, 0.6]
    assert {each.measure for each in chosen} == {"balanced"}


def test_runs_selected_on_different_measures_are_not_chosen_between() -> None:
    results = [
        result("art", rate=0.0),
        _scored(result("art", rate=0.9), 0.7, {"art": 0.6}, 0.6),
    ]
    assert choose_settings(results) == []
    assert {each.measure for each in choose_cells(results)} == {"", "balanced"}
