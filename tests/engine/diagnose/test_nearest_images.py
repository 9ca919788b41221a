"""Artificial images that are near to real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from engine.diagnose.nearest import bins_of, keep_nearest, nearest_of_class
from engine.errors import InputError


def made_up(count: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return torch.randn(count, 24, generator=chance) + labels[:, None], labels


def test_distances_are_those_of_scikit_learn() -> None:
    features, labels = made_up(2500, 2, seed=0)
    real, real_labels = made_up(70, 3, seed=1)
    found = nearest_of_class(features, labels, real, real_labels)
    for label in (0, 1):
        of_class = np.flatnonzero((real_labels == label).numpy())
        search = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute")
        search.fit(real.double().numpy()[of_class])
        own = (labels == label).numpy()
        distances, rows = search.kneighbors(features.double().numpy()[own])
        np.testing.assert_allclose(found.values.numpy()[own], distances[:, 0], atol=1e-12)
        assert (found.rows.numpy()[own] == of_class[rows[:, 0]]).all()


def test_the_length_of_features_has_no_effect_and_copies_are_at_no_distance() -> None:
    features, labels = made_up(40, 2, seed=2)
    scaled = features * torch.arange(1, 41)[:, None]
    found = nearest_of_class(features, labels, scaled, labels)
    assert found.rows.tolist() == list(range(40))
    assert float(found.values.max()) < 1e-12
    assert float(found.values.min()) >= 0
    opposite = nearest_of_class(features[:1], labels[:1], -features[:1], labels[:1])
    assert float(opposite.values) == pytest.approx(2)


@pytest.mark.parametrize(("share", "kept"), [(0.3, [3, 2]), (0.07, [1, 1]), (1.0, [10, 4])])
def test_the_nearest_of_each_group_are_kept(share: float, kept: list[int]) -> None:
    groups = torch.tensor([0] * 10 + [1] * 4)
    distances = torch.tensor([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 4, 4, 4, 4], dtype=torch.float64)
    found = keep_nearest(distances, groups, share)
    assert [int(found[groups == group].sum()) for group in (0, 1)] == kept
    assert found[10 - kept[0] : 10].all()
    assert found[10 : 10 + kept[1]].all()  # of equally near ones, the first


def test_a_share_that_is_no_binary_fraction_is_not_rounded_up() -> None:
    groups = torch.zeros(100, dtype=torch.int64)
    assert int(keep_nearest(torch.rand(100).double(), groups, 0.07).sum()) == 7


def test_bins_are_those_of_numpy() -> None:
    values = torch.rand(500, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    edges, places = bins_of(values, 12)
    counts, expected = np.histogram(values.numpy(), 12)
    np.testing.assert_allclose(edges, expected, atol=1e-12)
    assert places.bincount(minlength=12).tolist() == counts.tolist()
    same, places = bins_of(torch.full((3,), 0.25).double(), 12)
    assert (same, places.tolist()) == ([0.25, 0.25], [0, 0, 0])


def test_what_cannot_be_compared_is_refused() -> None:
    features, labels = made_up(4, 2, seed=3)
    for value, images in ((float("nan"), features.clone()), (0.0, features.clone())):
        images[1] = value
        with pytest.raises(InputError, match="features of 1 of 4 images are zero, NaN"):
            nearest_of_class(images, labels, features, labels)
    with pytest.raises(ValueError, match="no real image has the label 1"):
        nearest_of_class(features, labels, features[:1], labels[:1])
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            keep_nearest(torch.zeros(4).double(), labels, share)
