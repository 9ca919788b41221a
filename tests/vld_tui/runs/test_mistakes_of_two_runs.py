"""Mistakes of two runs on the same images."""

from __future__ import annotations

import itertools
import math

import pytest
from msgspec.structs import replace

from tests.made_predictions import LABELS, predicted_domain, predictions_with
from vld_tui.runs.flips import FlipsError, compare_images, exact_mcnemar


def test_every_image_is_right_or_wrong_in_each_run() -> None:
    flips = compare_images(predictions_with({0, 1, 9}), predictions_with({1, 2, 3, 4}))
    total = flips.total
    assert (flips.domain, total.images, total.wrong) == ("sketch", 10, (3, 4))
    assert (total.both_wrong, total.first_wrong, total.second_wrong) == (1, 2, 3)
    assert total.both_right == 4
    kinds = {each.index: each.kind for each in flips.images}
    assert kinds == {0: "first", 1: "both", 9: "first", 2: "second", 3: "second", 4: "second"}
    cat, dog = flips.classes
    assert (cat.name, cat.images, cat.wrong, cat.both_wrong) == ("cat", 5, (2, 4), 1)
    assert (dog.name, dog.images, dog.wrong, dog.both_wrong) == ("dog", 5, (1, 0), 0)


def test_an_image_has_what_is_stored_by_the_run_that_is_wrong() -> None:
    flips = compare_images(
        predictions_with({0}, picture=b"picture"), predictions_with({2}, picture=b"other")
    )
    (first,), (second,) = flips.of_kind("first"), flips.of_kind("second")
    assert first.stored is not None
    assert (first.stored.name, first.stored.picture) == ("sketch/0.png", b"picture")
    assert first.mistakes[1] is None
    assert second.stored is not None
    assert second.stored.picture == b"other"


def test_other_splits_of_the_same_images_are_compared_too() -> None:
    first = predictions_with({0})
    halves = {at: LABELS[at] for at in range(10)}
    whole = predicted_domain("sketch", "in", LABELS, halves, is_target=True)
    flips = compare_images(first, replace(first, domains=(whole,)))
    assert (flips.total.images, flips.total.first_wrong, flips.total.second_wrong) == (10, 1, 0)


def test_validation_images_are_those_of_both_splits() -> None:
    first = predictions_with(())
    other = predicted_domain("photo", "out", (0, 1, 0, 1), {2: 0, 3: 1})
    flips = compare_images(first, replace(first, domains=(other,)), "photo")
    assert (flips.total.images, flips.total.wrong) == (1, (1, 0))
    none = replace(first, domains=(predicted_domain("photo", "out", (0, 1, 0, 1), {0: 0}),))
    with pytest.raises(FlipsError, match="no evaluated image of photo in common"):
        compare_images(first, none, "photo")


@pytest.mark.parametrize("earlier", [(True, False), (False, True), (True, True)])
def test_of_earlier_versions_only_the_numbers_of_mistakes_are_known(
    earlier: tuple[bool, bool],
) -> None:
    flips = compare_images(
        predictions_with({0, 1}, is_earlier=earlier[0]),
        predictions_with({2}, is_earlier=earlier[1]),
    )
    assert flips.total.wrong == (2, 1)
    assert flips.total.both_wrong is flips.total.first_wrong is flips.p_value is None
    assert not flips.images
    assert "which images differ is unknown" in flips.unknown


def test_other_images_classes_and_domains_are_refused() -> None:
    first = predictions_with({0})
    with pytest.raises(FlipsError, match="images of sketch have changed"):
        compare_images(first, predictions_with({0}, digest="other"))
    with pytest.raises(FlipsError, match="different classes"):
        compare_images(first, replace(first, classes=("cat", "fox")))
    with pytest.raises(FlipsError, match=r"not both evaluated on paint\. Both have: sketch, photo"):
        compare_images(first, first, "paint")
    targets = r"different targets: sketch and none\. Choose a domain of both: photo"
    with pytest.raises(FlipsError, match=targets) as refused:
        compare_images(first, replace(first, domains=first.domains[2:]))
    assert refused.value.domains == ("photo",)


def test_the_p_value_is_that_of_a_binomial_test() -> None:
    for first, second in itertools.product(range(6), repeat=2):
        count = first + second
        tail = sum(math.comb(count, k) for k in range(min(first, second) + 1))
        assert exact_mcnemar(first, second) == pytest.approx(min(1, 2 * tail / 2**count))
    assert exact_mcnemar(100_000, 100_000) == pytest.approx(1)
    assert 0 <= exact_mcnemar(50_000, 60_000) < 1e-10
