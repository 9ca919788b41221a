"""Misclassified images by domain and by cell of a confusion matrix."""

from __future__ import annotations

from tests.made_predictions import predictions_with
from vld_tui.runs.mistakes import ConfusionCell, mistakes_by_domain, mistakes_in


def test_the_target_comes_first_then_the_other_domains() -> None:
    target, photo = mistakes_by_domain(predictions_with({0, 9}, picture=b"picture"))
    assert (target.about, target.total, target.images) == ("target", 2, 10)
    assert [(each.index, each.split, each.picture) for each in target.stored] == [
        (0, "in", b"picture"),
        (9, "out", b"picture"),
    ]
    assert (photo.about, photo.total, photo.images) == ("photo", 1, 2)
    assert photo.stored[0].name == "photo/2.png"


def test_a_cell_has_exactly_its_images() -> None:
    predictions = predictions_with({0, 5, 9})
    found = mistakes_in(predictions, ConfusionCell("sketch", "in", 1, 0))
    assert (found.total, found.images) == (1, 3)
    assert [each.index for each in found.stored] == [5]


def test_earlier_versions_stored_those_of_the_target_only() -> None:
    (target,) = mistakes_by_domain(predictions_with({0, 9}, picture=b"p", is_earlier=True))
    assert (target.total, target.images) == (2, 10)
    assert [(each.confidence, each.name, each.index) for each in target.stored] == [
        (0.9, "", None),
        (0.81, "", None),
    ]
