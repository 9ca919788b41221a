"""Images of the target by density ratio, and the accuracy on each part."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binomtest

from engine.diagnose.support import PartOfTarget, split_by_support
from engine.errors import InputError

RATIOS = torch.tensor([0.1, 1.0, 9.99, 10.01, 50.0]).double()
IS_RIGHT = torch.tensor([True, True, False, False, True])


def test_an_image_is_out_of_support_from_a_ratio_of_one_by_epsilon() -> None:
    support = split_by_support(RATIOS.log(), IS_RIGHT)
    assert support.is_out.tolist() == [False, False, False, True, True]
    assert (support.inside.images, support.inside.correct) == (3, 2)
    assert (support.outside.images, support.outside.correct) == (2, 1)
    assert support.out_share == 0.4
    assert split_by_support(RATIOS.log(), IS_RIGHT, epsilon=1.0).inside.images == 1
    exact = torch.tensor([-math.log(0.1)], dtype=torch.float64)
    assert split_by_support(exact).outside.images == 1


def test_intervals_are_wilsons() -> None:
    inside = split_by_support(RATIOS.log(), IS_RIGHT).inside
    expected = binomtest(2, 3).proportion_ci(0.95, method="wilson")
    assert inside.accuracy == pytest.approx(2 / 3)
    assert inside.interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_frames_of_a_video_count_once_in_intervals() -> None:
    groups = torch.tensor([3, 3, 3, 4, 5])
    inside = split_by_support(RATIOS.log(), IS_RIGHT, groups=groups).inside
    alone = split_by_support(RATIOS.log(), IS_RIGHT).inside
    assert (inside.images, inside.units) == (3, 1)
    assert inside.accuracy == alone.accuracy
    assert inside.interval is not None
    assert alone.interval is not None
    assert inside.interval.low < alone.interval.low


def test_an_empty_part_has_no_accuracy() -> None:
    support = split_by_support(torch.full((4,), 5.0), torch.ones(4, dtype=torch.bool))
    assert support.inside == PartOfTarget(0, 0, 0)
    assert support.inside.accuracy is None
    assert support.inside.interval is None
    assert support.outside.accuracy == 1


def test_without_predictions_there_are_only_counts() -> None:
    support = split_by_support(RATIOS.log())
    assert support.inside.images == 3
    assert support.inside.accuracy is None
    assert support.inside.interval is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="no images"):
        split_by_support(torch.zeros(0))
    with pytest.raises(InputError, match="not a number"):
        split_by_support(torch.tensor([math.nan]))
    with pytest.raises(ValueError, match="epsilon must be above 0 and at most 1, not 0"):
        split_by_support(RATIOS.log(), epsilon=0)
