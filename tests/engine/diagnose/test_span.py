"""Energy outside the span of source features, compared with an orthogonal projection."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.diagnose.span import KEPT_ENERGY, outside_span
from engine.diagnose.spectrum import spectrum_of
from engine.errors import InputError


def low_rank(images: int, rank: int, dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(rank, dimensions, generator=generator)
    return torch.randn(images, rank, generator=generator) @ axes


def reference_share(source: Tensor, features: Tensor, rank: int) -> float:
    rows = np.linalg.svd(source.double().numpy(), full_matrices=False)[2][:rank]
    given = features.double().numpy()
    rest = given - given @ rows.T @ rows
    return float((rest**2).sum() / (given**2).sum())


def test_the_share_is_that_of_a_projection() -> None:
    source, target = low_rank(300, 10, 40, seed=0), low_rank(100, 30, 40, seed=1)
    found = outside_span(spectrum_of(source, has_directions=True), target)
    assert found is not None
    assert (found.rank, found.is_limited_by_images) == (10, False)
    assert found.share == pytest.approx(reference_share(source, target, 10), abs=1e-6)
    energies = np.linalg.svd(source.double().numpy(), compute_uv=False) ** 2
    shares = energies.cumsum() / energies.sum()
    assert shares[found.principal_rank - 2] < KEPT_ENERGY <= shares[found.principal_rank - 1]
    expected = reference_share(source, target, found.principal_rank)
    assert found.principal_share == pytest.approx(expected, abs=1e-6)


def test_source_images_have_nothing_outside_their_span() -> None:
    source = low_rank(300, 40, 40, seed=0)
    found = outside_span(spectrum_of(source, has_directions=True), source)
    assert found is not None
    assert found.share == pytest.approx(0, abs=1e-9)
    assert 0 < found.principal_share <= 1 - KEPT_ENERGY


def test_orthogonal_features_are_all_outside() -> None:
    source, target = torch.zeros(30, 6), torch.zeros(20, 6)
    source[:, :3], target[:, 3:] = torch.randn(30, 3), torch.randn(20, 3)
    found = outside_span(spectrum_of(source, has_directions=True), target)
    assert found is not None
    assert found.share == pytest.approx(1)


def test_fewer_images_than_dimensions_are_reported() -> None:
    source, more = low_rank(20, 50, 50, seed=0), low_rank(40, 50, 50, seed=1)
    found = outside_span(spectrum_of(source, has_directions=True), more)
    assert found is not None
    assert (found.rank, found.is_limited_by_images) == (20, True)
    assert found.share == pytest.approx(reference_share(source, more, 20), abs=1e-6)


def test_features_without_energy_have_no_share() -> None:
    zeros, some = torch.zeros(30, 6), torch.ones(30, 6)
    assert outside_span(spectrum_of(zeros, has_directions=True), some) is None
    assert outside_span(spectrum_of(some, has_directions=True), zeros) is None


def test_features_of_another_network_are_refused() -> None:
    source = spectrum_of(torch.ones(30, 6), has_directions=True)
    with pytest.raises(InputError, match="^The features have 7 dimensions and those of the source"):
        outside_span(source, torch.ones(30, 7))
