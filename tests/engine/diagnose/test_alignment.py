"""Linear CKA, compared with centred N × N similarities in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.diagnose.alignment import linear_cka
from engine.errors import InputError


def features(images: int, dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, dimensions, generator=generator) * 2 + 5


def reference_cka(first: Tensor, second: Tensor) -> float:
    """Return HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) of linear kernels."""
    centring = np.eye(len(first)) - 1 / len(first)
    x, y = (each.double().numpy() for each in (first, second))
    k, l = (centring @ (each @ each.T) @ centring for each in (x, y))  # noqa: E741
    return float((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))


@pytest.mark.parametrize(("images", "first", "second"), [(200, 12, 30), (20, 12, 30), (20, 40, 30)])
def test_cka_is_that_of_kernels(images: int, first: int, second: int) -> None:
    x = features(images, first, seed=0)
    y = x[:, :1] + features(images, second, seed=1)
    assert linear_cka(x, y) == pytest.approx(reference_cka(x, y), rel=1e-6)


def test_rows_in_chunks_give_the_same() -> None:
    x, y = features(5000, 3, seed=0), features(5000, 2, seed=1)
    y[:, 0] += x[:, 0]
    assert linear_cka(x, y) == pytest.approx(reference_cka(x, y), rel=1e-6)


def test_rotation_scale_and_shift_change_nothing() -> None:
    x = features(300, 20, seed=0)
    rotation = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64)).Q
    turned = (x.double() @ rotation * 3 + 100).float()
    assert linear_cka(x, x) == pytest.approx(1, abs=1e-9)
    assert linear_cka(x, turned) == pytest.approx(1, abs=1e-6)


def test_unrelated_representations_have_little_in_common() -> None:
    found = linear_cka(features(5000, 10, seed=0), features(5000, 10, seed=1))
    assert found is not None
    assert found < 0.01


def test_constant_features_have_no_cka() -> None:
    constant, other = torch.full((300, 4), 0.1), features(300, 6, seed=0)
    assert linear_cka(constant, other) is None
    assert linear_cka(other, constant) is None
    assert linear_cka(torch.zeros(3, 8), features(3, 8, seed=0)) is None


def test_bad_input_is_refused() -> None:
    good = features(30, 4, seed=0)
    bad = good.clone()
    bad[2, 2] = float("nan")
    with pytest.raises(InputError, match="^The features are NaN or infinite in 1 of 30 images"):
        linear_cka(good, bad)
    with pytest.raises(InputError, match="^The representations are of 30 and 29 images"):
        linear_cka(good, good[1:])
