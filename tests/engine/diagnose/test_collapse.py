"""NC1, compared with a pseudo-inverse of the covariance between classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.diagnose.collapse import collapse_of
from engine.errors import InputError


def classes(counts: list[int], dimensions: int, spread: float = 0.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    means = torch.randn(len(counts), dimensions, generator=generator)
    noise = torch.randn(len(labels), dimensions, generator=generator)
    order = torch.randperm(len(labels), generator=generator)
    return (means[labels] + spread * noise)[order], labels[order]


def reference_nc1(features: Tensor, labels: Tensor) -> float:
    given, of = features.double().numpy(), labels.numpy()
    present = np.unique(of)
    means = np.stack([given[of == each].mean(axis=0) for each in present])
    within = given - means[np.searchsorted(present, of)]
    between = means - given.mean(axis=0)
    covariance_between = between.T @ between / len(present)
    inverse = np.linalg.pinv(covariance_between, rcond=1e-10, hermitian=True)
    return float(np.trace(within.T @ within / len(given) @ inverse) / len(present))


@pytest.mark.parametrize(
    ("counts", "dimensions"), [([40, 40, 40], 20), ([5, 60, 12, 30], 20), ([4, 5, 6], 90)]
)
def test_nc1_is_the_trace(counts: list[int], dimensions: int) -> None:
    features, labels = classes(counts, dimensions)
    found = collapse_of(features, labels)
    assert found.nc1 == pytest.approx(reference_nc1(features, labels), rel=1e-6)
    assert (found.classes, found.left_out) == (len(counts), 0)


def test_more_classes_than_dimensions() -> None:
    features, labels = classes([10] * 12, 5)
    assert collapse_of(features, labels).nc1 == pytest.approx(
        reference_nc1(features, labels), rel=1e-6
    )


def test_images_that_equal_their_class_have_collapsed() -> None:
    features, labels = classes([10, 10, 10], 8, spread=0)
    assert collapse_of(features, labels).nc1 == pytest.approx(0, abs=1e-12)


def test_a_class_with_one_image_is_left_out() -> None:
    features, labels = classes([20, 1, 30, 1], 8)
    found = collapse_of(features, labels)
    rest = (labels == 0) | (labels == 2)
    assert found.nc1 == pytest.approx(reference_nc1(features[rest], labels[rest]), rel=1e-6)
    assert (found.classes, found.left_out) == (2, 2)


def test_equal_class_means_have_no_nc1() -> None:
    _, labels = classes([20, 20], 8)
    assert collapse_of(torch.full((40, 8), 0.1), labels).nc1 is None
    assert collapse_of(torch.zeros(40, 8), labels).nc1 is None


def test_a_single_class_is_refused() -> None:
    features, _ = classes([20, 1], 8)
    labels = torch.zeros(21, dtype=torch.int64)
    labels[0] = 1
    with pytest.raises(InputError, match="fewer than two classes have at least two images"):
        collapse_of(features, labels)


def test_nan_features_are_refused() -> None:
    features, labels = classes([20, 20], 8)
    features[0] = float("nan")
    with pytest.raises(InputError, match="^The features are NaN or infinite in 1 of 40 images"):
        collapse_of(features, labels)
