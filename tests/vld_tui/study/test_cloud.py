"""Figure 2's cloud: every way to pick a cell for each target, averaged."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest

from tests.vld_tui.study.made_outcomes import CELLS, TARGETS, result, setting, study
from vld_tui.study.results.cloud import (
    SAMPLED_WAYS,
    clouds,
    hull,
    make_cloud,
    ways_to_pick,
)
from vld_tui.study.results.outcomes import OOD


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
