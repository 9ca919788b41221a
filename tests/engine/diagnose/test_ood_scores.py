"""Scores from features agree with scikit-learn, SciPy and definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from engine.diagnose.detection import roc_area
from engine.diagnose.ood_scores import (
    ClassDensities,
    ledoit_wolf,
    nearest_neighbours,
    neighbour_score,
)
from engine.errors import InputError

CLASSES = 4


def _features(images: int, seed: int, dimension: int = 9) -> tuple[Tensor, Tensor]:
    """Return features around one mean a class, and labels; the last class has no images."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % (CLASSES - 1)
    means = 3 * torch.randn(CLASSES, dimension, generator=torch.Generator().manual_seed(99))
    mixing = torch.randn(dimension, dimension, generator=torch.Generator().manual_seed(98))
    return torch.randn(images, dimension, generator=generator) @ mixing + means[labels], labels


@pytest.mark.parametrize(("images", "dimension"), [(90, 9), (30, 60), (2000, 5)])
def test_the_covariance_is_that_of_scikit_learn(images: int, dimension: int) -> None:
    features, _ = _features(images, 1, dimension)
    centred = features.double() - features.double().mean(dim=0)
    reference = LedoitWolf(assume_centered=True).fit(centred.numpy())
    found = ledoit_wolf(centred)
    assert found.shrinkage == pytest.approx(reference.shrinkage_, abs=1e-9)
    assert found.matrix.numpy() == pytest.approx(reference.covariance_, abs=1e-9)


@pytest.mark.parametrize(("images", "dimension"), [(90, 9), (30, 60)])
def test_densities_are_those_of_scipy(images: int, dimension: int) -> None:
    features, labels = _features(images, 1, dimension)
    judged, _ = _features(20, 2, dimension)
    densities = ClassDensities.fit(features, labels, CLASSES)
    x, y = features.double().numpy(), labels.numpy()
    means = [x[y == label].mean(axis=0) for label in range(CLASSES - 1)]
    covariance = LedoitWolf(assume_centered=True).fit(x - np.array(means)[y]).covariance_
    shares = np.bincount(y) / len(y)
    points = judged.double().numpy()
    gaussian = [multivariate_normal(mean, covariance).logpdf(points) for mean in means]
    expected = -logsumexp(np.array(gaussian).T + np.log(shares), axis=1)
    assert densities.gaussian(judged).numpy() == pytest.approx(expected, rel=1e-6)
    student = [multivariate_t(mean, covariance * 48 / 50, 50).logpdf(points) for mean in means]
    expected = -logsumexp(np.array(student).T + np.log(shares), axis=1)
    assert densities.student(judged).numpy() == pytest.approx(expected, rel=1e-6)


def test_distant_images_are_unlike_and_weigh_less_with_heavy_tails() -> None:
    features, labels = _features(300, 1)
    densities = ClassDensities.fit(features, labels, CLASSES)
    like, _ = _features(100, 2)
    unlike = like + 20 * torch.eye(9)[0]
    for score in (densities.gaussian, densities.student):
        assert roc_area(score(like), score(unlike)).value > 0.99
    far = like[:1] + 1000 * torch.eye(9)[0]
    assert densities.student(far) < densities.gaussian(far)


def test_few_images_are_noted_with_the_shrinkage() -> None:
    features, labels = _features(30, 1, dimension=60)
    densities = ClassDensities.fit(features, labels, CLASSES)
    [note] = densities.notes
    assert "Fewer training images (30) than features (60)" in note
    assert f"({densities.shrinkage:.0%})" in note
    assert ClassDensities.fit(*_features(90, 1), CLASSES).notes == ()


def test_constant_and_copied_features_leave_finite_densities() -> None:
    features, labels = _features(5000, 1)
    features[:, 3] = 1.0
    features[:, 4] = features[:, 5]
    densities = ClassDensities.fit(features, labels, CLASSES)
    assert densities.gaussian(features).isfinite().all()
    unlike = features[:50].clone()
    unlike[:, 3] = 2.0
    assert roc_area(densities.gaussian(features), densities.gaussian(unlike)).value > 0.99


@pytest.mark.parametrize("neighbours", [1, 7])
def test_neighbours_are_those_of_scikit_learn(neighbours: int) -> None:
    training, _ = _features(90, 1)
    judged, _ = _features(30, 2)
    found = nearest_neighbours(judged, training, neighbours)
    reference = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute")
    distances, rows = reference.fit(training.double().numpy()).kneighbors(judged.double().numpy())
    assert found.rows.numpy().tolist() == rows.tolist()
    assert found.similarities.numpy() == pytest.approx(1 - distances, abs=1e-6)
    assert neighbour_score(found).numpy() == pytest.approx(
        1 - np.maximum(0, (1 - distances).mean(axis=1)), abs=1e-6
    )


def test_neighbours_are_found_in_chunks() -> None:
    training, _ = _features(60, 1)
    judged, _ = _features(1030, 2)
    found = nearest_neighbours(judged, training, 5)
    assert found.rows.shape == (1030, 5)
    last = nearest_neighbours(judged[-3:], training, 5)
    assert torch.equal(found.rows[-3:], last.rows)


def test_agreement_is_the_share_of_neighbours_in_common() -> None:
    training, _ = _features(40, 1)
    judged, _ = _features(25, 2)
    noisy = training + 2 * torch.randn(training.shape, generator=torch.Generator().manual_seed(0))
    one, other = nearest_neighbours(judged, training, 8), nearest_neighbours(judged, noisy, 8)
    expected = [
        len(set(first) & set(second)) / 8
        for first, second in zip(one.rows.tolist(), other.rows.tolist(), strict=True)
    ]
    assert one.agreement(other).tolist() == expected
    assert one.agreement(one).tolist() == [1.0] * 25
    density = (one.density + other.density) / 2
    score = neighbour_score(one, other)
    assert score.numpy() == pytest.approx((1 - density * torch.tensor(expected)).numpy())
    assert neighbour_score(one, one).numpy() == pytest.approx(neighbour_score(one).numpy())


def test_few_training_images_are_all_neighbours() -> None:
    found = nearest_neighbours(torch.eye(3), torch.eye(3)[:2])
    assert found.rows.shape == (3, 2)
    assert found.density.tolist() == [0.5, 0.5, 0]


def test_features_of_length_zero_have_no_neighbour_nearby() -> None:
    found = nearest_neighbours(torch.zeros(1, 3), torch.eye(3))
    assert neighbour_score(found).tolist() == [1.0]


def test_bad_features_are_refused() -> None:
    features, labels = _features(30, 1)
    broken = features.clone()
    broken[2, 2] = math.nan
    with pytest.raises(InputError, match="NaN or infinite in 1 of 30"):
        ClassDensities.fit(broken, labels, CLASSES)
    densities = ClassDensities.fit(features, labels, CLASSES)
    with pytest.raises(InputError, match="NaN or infinite in 1 of 30"):
        densities.gaussian(broken)
    with pytest.raises(InputError, match="NaN or infinite in 1 of 30"):
        nearest_neighbours(features, broken)
    with pytest.raises(InputError, match="constant in every class"):
        ClassDensities.fit(torch.ones(30, 3), labels, CLASSES)
    with pytest.raises(InputError, match="no image"):
        nearest_neighbours(features[:0], features)
