"""Detection by a score agrees with scikit-learn, SciPy and definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from engine.diagnose.detection import (
    CURVE_POINTS,
    average_ranks,
    false_positive_rate,
    measure_detection,
    rank_correlation,
    risk_coverage_of,
    roc_area,
)
from engine.errors import InputError


def _scores(count: int, shift: float, seed: int, *, ties: bool) -> Tensor:
    scores = torch.randn(count, generator=torch.Generator().manual_seed(seed)) + shift
    return (4 * scores).round() / 4 if ties else scores


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_and_the_rate_are_those_of_scikit_learn(ties: bool) -> None:
    low, high = _scores(83, 0, 1, ties=ties), _scores(61, 0.8, 2, ties=ties)
    is_high = np.arange(144) >= 83
    both = torch.cat([low, high]).double().numpy()
    assert roc_area(low, high).value == pytest.approx(roc_auc_score(is_high, both), abs=1e-9)
    # ID images are the positive ones, and a low score says so.
    passed, kept, _ = roc_curve(~is_high, -both, drop_intermediate=False)
    expected = passed[np.argmax(kept >= 0.95)]
    assert false_positive_rate(low, high) == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_delongs() -> None:
    low, high = _scores(40, 0, 3, ties=True), _scores(30, 0.7, 4, ties=True)
    wins = (high[:, None] > low).double() + (high[:, None] == low).double() / 2
    variance = wins.mean(1).var() / 30 + wins.mean(0).var() / 40
    area = roc_area(low, high)
    value, half = float(wins.mean()), 1.959964 * math.sqrt(float(variance))
    assert area == pytest.approx((value, value - half, value + half), abs=1e-9)


def test_the_interval_covers_the_true_area() -> None:
    truth = 0.5 * (1 + math.erf(1 / 2))
    areas = [
        roc_area(_scores(50, 0, 2 * at, ties=False), _scores(40, 1, 2 * at + 1, ties=False))
        for at in range(300)
    ]
    assert 0.9 < np.mean([area.low <= truth <= area.high for area in areas]) < 0.98


def test_separated_images_leave_an_interval() -> None:
    area = roc_area(torch.zeros(50), torch.ones(30))
    assert area.value == area.high == 1
    assert 0.85 < area.low < 1
    wider = roc_area(torch.zeros(5), torch.ones(3))
    assert wider.low < area.low
    assert roc_area(torch.ones(50), torch.zeros(30)) == pytest.approx((0, 0, 1 - area.low))


def test_equal_scores_say_nothing() -> None:
    area = roc_area(torch.ones(50), torch.ones(30))
    assert area.value == 0.5
    assert area.low < 0.45
    assert area.high > 0.55
    assert false_positive_rate(torch.ones(50), torch.ones(30)) == 1
    assert rank_correlation(torch.ones(4), torch.arange(4)) is None


def test_single_images_can_be_compared() -> None:
    area = roc_area(torch.tensor([0.0]), torch.tensor([1.0]))
    assert area.value == 1
    assert area.low < 0.5


def test_the_correlation_is_that_of_scipy() -> None:
    scores, is_right = _scores(90, 0, 5, ties=True), _scores(90, 0, 6, ties=False) > 0.3
    expected = spearmanr(-scores.numpy(), is_right.numpy()).statistic
    assert rank_correlation(-scores, is_right) == pytest.approx(expected, abs=1e-9)


def test_ranks_share_their_mean() -> None:
    assert average_ranks(torch.tensor([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_risk_is_the_error_rate_of_the_kept_images() -> None:
    scores = torch.tensor([0.4, 0.1, 0.3, 0.2])
    is_right = torch.tensor([False, True, False, True])
    curve = risk_coverage_of(scores, is_right)
    assert curve.coverage == (0.25, 0.5, 0.75, 1.0)
    assert curve.risk == pytest.approx((0, 0, 1 / 3, 1 / 2))
    assert curve.area == curve.best_area == pytest.approx(5 / 24)
    assert curve.error_rate == 0.5
    opposite = risk_coverage_of(-scores, is_right)
    assert opposite.area == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


def test_risk_with_equal_scores_is_the_mean_over_orders() -> None:
    scores, is_right = _scores(50, 0, 7, ties=True), _scores(50, 0, 8, ties=False) > 0
    orders = [torch.randperm(50, generator=torch.Generator().manual_seed(at)) for at in range(4000)]
    areas = []
    for order in orders:
        shuffled = order[scores[order].argsort(stable=True)]
        wrong = (~is_right[shuffled]).double()
        areas.append(float((wrong.cumsum(0) / torch.arange(1, 51)).mean()))
    curve = risk_coverage_of(scores, is_right)
    assert curve.area == pytest.approx(np.mean(areas), abs=3e-3)
    assert risk_coverage_of(torch.zeros(50), is_right).area == pytest.approx(curve.error_rate)


def test_a_long_curve_keeps_its_end() -> None:
    scores, is_right = _scores(1000, 0, 9, ties=False), _scores(1000, 0, 10, ties=False) > 0
    curve = risk_coverage_of(scores, is_right)
    assert len(curve.coverage) == len(curve.risk) == CURVE_POINTS
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(curve.error_rate)


def test_all_measures_of_a_score() -> None:
    id_scores, target = _scores(60, 0, 11, ties=False), _scores(50, 1, 12, ties=False)
    is_right = target < 1
    found = measure_detection(id_scores, target, is_right)
    assert found.roc == roc_area(id_scores, target)
    assert found.fpr == false_positive_rate(id_scores, target)
    assert found.errors_roc is not None
    assert found.errors_roc.value == 1
    assert found.correlation is not None
    assert found.correlation > 0.7
    assert found.risk_coverage.area == found.risk_coverage.best_area
    alone = measure_detection(id_scores[:0], target, torch.ones(50, dtype=torch.bool))
    assert (alone.roc, alone.fpr, alone.errors_roc, alone.correlation) == (None,) * 4


def test_scores_that_are_no_numbers_are_refused() -> None:
    broken = torch.tensor([0.0, math.nan])
    with pytest.raises(InputError, match="1 of 2 scores are not a number"):
        roc_area(broken, torch.zeros(3))
    with pytest.raises(InputError, match="no images"):
        roc_area(torch.zeros(0), torch.zeros(3))
    with pytest.raises(InputError, match="no images"):
        measure_detection(torch.zeros(3), torch.zeros(0), torch.zeros(0, dtype=torch.bool))


def test_infinite_scores_are_extreme_ones() -> None:
    assert roc_area(torch.zeros(3), torch.full((3,), math.inf)).value == 1
