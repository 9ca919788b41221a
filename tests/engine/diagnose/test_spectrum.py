"""RankMe and numerical rank, compared with singular values in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from engine.diagnose.spectrum import rank_me, spectrum_of
from engine.errors import InputError

Matrix = npt.NDArray[np.float64]


def features(images: int, dimensions: int) -> Tensor:
    """Return features such as a ReLU's, with a spectrum that falls over two decades."""
    generator = torch.Generator().manual_seed(images)
    mixing = torch.randn(dimensions, dimensions, generator=generator)
    mixing *= torch.logspace(0, -2, dimensions)[:, None]
    return (torch.randn(images, dimensions, generator=generator) @ mixing + 0.5).relu()


def reference_rank_me(values: Matrix) -> float:
    shares = values / values.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("shape", [(300, 40), (5000, 12), (30, 50)])
def test_values_and_directions_are_those_of_the_decomposition(shape: tuple[int, int]) -> None:
    given = features(*shape)
    _, values, rows = np.linalg.svd(given.double().numpy(), full_matrices=False)
    found = spectrum_of(given, has_directions=True)
    assert np.allclose(found.values.numpy(), values, rtol=1e-6, atol=1e-6 * values[0])
    assert found.rank_me == pytest.approx(reference_rank_me(values), rel=1e-6)
    assert rank_me(given) == pytest.approx(reference_rank_me(values), rel=1e-6)
    assert found.rank == np.linalg.matrix_rank(given.numpy())
    assert found.directions is not None
    alike = np.abs((found.directions.numpy() * rows.T).sum(axis=0))
    assert np.allclose(alike[:10], 1, atol=1e-6)
    assert found.is_limited_by_images == (shape[0] < shape[1])


def test_rank_me_counts_equal_directions() -> None:
    assert rank_me(torch.eye(16) * 3) == pytest.approx(16, rel=1e-4)


def test_rank_me_of_a_matrix_of_low_rank_counts_its_directions_only() -> None:
    generator = torch.Generator().manual_seed(0)
    given = (
        torch.randint(-3, 4, (200, 3), generator=generator).float()
        @ torch.randint(-3, 4, (3, 60), generator=generator).float()
    )
    found = spectrum_of(given)
    values = np.linalg.svd(given.double().numpy(), compute_uv=False)
    assert found.rank == 3
    assert found.rank_me == pytest.approx(reference_rank_me(values), rel=1e-6)


def test_constant_features_have_one_direction() -> None:
    constant = torch.full((500, 8), 0.1)
    assert rank_me(constant) == pytest.approx(1, abs=1e-4)
    assert rank_me(torch.zeros(50, 8)) is None


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_features_that_are_not_finite_are_refused(broken: float) -> None:
    given = features(300, 40)
    given[7, 3] = given[7, 4] = broken
    with pytest.raises(InputError, match="^The features are NaN or infinite in 1 of 300 images"):
        spectrum_of(given)


def test_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="^The features cannot be measured: there are no images"):
        rank_me(torch.empty(0, 8))
