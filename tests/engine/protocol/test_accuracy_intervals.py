"""The 95% interval of accuracies, and the warning where few images select the step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import pytest

from engine.protocol.intervals import (
    Interval,
    Sample,
    accuracy_interval,
    half_interval,
    uncertain_selection,
)

Method = Callable[[Sequence[Sample]], Interval | None]


def interval(*samples: tuple[float, int]) -> Interval:
    found = accuracy_interval([Sample(*each) for each in samples])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [  # Wilson's, as by R: binom.confint(right, images, methods = "wilson")
        (0, 1, 0.0, 0.7935), (1, 1, 0.2065, 1.0), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0),
        (9, 20, 0.2582, 0.6579), (81, 263, 0.2553, 0.3662),
    ],
)  # fmt: skip
def test_of_one_domain_it_is_wilsons(right: int, images: int, low: float, high: float) -> None:
    assert interval((right / images, images)) == pytest.approx((low, high), abs=5e-5)


def test_of_several_domains_of_one_size_it_is_near_that_of_all_their_images() -> None:
    together = interval((0.8, 900))
    assert interval((0.8, 300), (0.8, 300), (0.8, 300)) == pytest.approx(together, abs=0.001)


def test_a_small_domain_makes_a_mean_over_domains_uncertain() -> None:
    low, high = interval((0.5, 10), (0.5, 10_000))
    assert high - low > 0.25


@pytest.mark.parametrize("counts", [(1,), (1, 1, 1), (3, 50), (172_500, 1)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all_correct_leave_an_interval_within_0_and_1(
    share: float, counts: tuple[int, ...]
) -> None:
    low, high = interval(*((share, images) for images in counts))
    assert 0.0 <= low < high <= 1.0
    assert (low == 0.0) is (share == 0.0)
    assert (high == 1.0) is (share == 1.0)


def test_domains_at_both_ends_have_an_interval_around_their_mean() -> None:
    low, high = interval((0.0, 5), (1.0, 5))
    assert 0.0 < low < 0.5 < high < 1.0
    assert low + high == pytest.approx(1.0)


@pytest.mark.parametrize("samples", [[], [Sample(0.5, 0)], [Sample(0.5, 9), Sample(0.5, 0)]])
def test_without_images_there_is_none(samples: list[Sample]) -> None:
    assert accuracy_interval(samples) is None


def test_half_of_the_widest_interval() -> None:
    assert half_interval([100]) == pytest.approx(0.0962, abs=5e-5)
    assert half_interval([2, 2, 2, 2]) == pytest.approx(half_interval([8]), abs=0.001)
    with pytest.raises(ValueError, match="counts"):
        half_interval([])


def of_wald(samples: Sequence[Sample]) -> Interval:
    """Return the interval of textbooks: the mean and 1.96 standard errors of it."""
    mean = sum(each.accuracy for each in samples) / len(samples)
    variance = sum(each.accuracy * (1 - each.accuracy) / each.images for each in samples)
    half = 1.96 * math.sqrt(variance) / len(samples)
    return Interval(mean - half, mean + half)


def coverage(method: Method, counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return the probability that an interval holds the mean of ``shares``: over every outcome."""
    truth = sum(shares) / len(shares)
    found = 0.0
    for rights in itertools.product(*(range(images + 1) for images in counts)):
        of = method([Sample(right / n, n) for right, n in zip(rights, counts, strict=True)])
        assert of is not None
        if of.low - 1e-9 <= truth <= of.high + 1e-9:
            found += math.prod(
                math.comb(n, right) * share**right * (1 - share) ** (n - right)
                for right, n, share in zip(rights, counts, shares, strict=True)
            )
    return found


@pytest.mark.parametrize("counts", [(20,), (4, 4, 4), (3, 15)])
def test_it_holds_the_truth_in_about_95_of_100_cases_with_a_few_images(
    counts: tuple[int, ...],
) -> None:
    spread = [0.0, 0.1, -0.1][: len(counts)]
    grid = [[middle + each for each in spread] for middle in (0.3, 0.5, 0.62, 0.7, 0.75, 0.8, 0.85)]
    found = [coverage(accuracy_interval, counts, shares) for shares in grid]
    assert min(found) > 0.9
    assert 0.935 < sum(found) / len(found) < 0.975
    assert min(coverage(of_wald, counts, shares) for shares in grid) < 0.9


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (
            {"a": 33, "b": 33, "c": 33},
            "99 validation images: ID accuracy, and any selection based on it, is uncertain "
            "by up to ±10 points (95% interval).",
        ),
        ({"a": 1}, "1 validation image: ID accuracy, and any selection based on it, is uncertain "
         "by up to ±45 points (95% interval)."),
        (
            {"a": 400, "b": 12},
            "Few validation images: b has 12, so its accuracy is uncertain by up to ±25 points; ID "
            "accuracy, and any selection based on it, is uncertain by up to ±13 points (95% "
            "interval).",
        ),
        ({"a": 61, "b": 61}, ""),
        ({"a": 100}, ""),
        ({}, ""),
        ({"a": 0, "b": 5}, ""),
    ],
)  # fmt: skip
def test_few_images_in_all_or_of_one_domain(held_out: dict[str, int], said: str) -> None:
    assert uncertain_selection(held_out) == said
