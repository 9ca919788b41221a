"""Masks of principal directions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from engine.model import gaussian_logits, masked_logits
from engine.model.basis import Basis, principal_basis


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stretched(images: int, dim: int) -> Tensor:
    """Return features whose variance differs between directions, with a mean."""
    generator = seeded(1)
    mixing = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    spread = torch.logspace(1, -1, dim)
    mixed: Tensor = torch.randn(images, dim, generator=generator) * spread @ mixing.T + 3
    return mixed


@pytest.mark.parametrize("images", [400, 10], ids=["many images", "fewer than dimensions"])
def test_directions_are_orthonormal_and_ordered_by_variance(images: int) -> None:
    features = stretched(images, 24)
    basis = principal_basis(features)

    identity = basis.directions.T @ basis.directions
    assert torch.allclose(identity, torch.eye(24), atol=1e-5)
    coordinates = (features - basis.mean) @ basis.directions
    variances = coordinates.var(dim=0)
    assert torch.all(variances[:-1] >= variances[1:] - 1e-5 * variances[0])
    covariance = torch.cov(coordinates.T)
    assert torch.allclose(covariance, torch.diag(variances), atol=1e-3 * float(variances[0]))


def test_a_masked_representation_is_mean_plus_kept_directions() -> None:
    """Φ_drop = μ + U (m ⊙ Uᵀ(Φ − μ)) / (1 − λ), in float64, with gradients."""
    dim, classes, masks, rate = 24, 5, 7, 0.9
    head, features = nn.Linear(dim, classes), stretched(6, dim).requires_grad_()
    basis = principal_basis(stretched(100, dim))

    found = masked_logits(
        head, features, dropout_rate=rate, masks=masks, generator=seeded(2), basis=basis
    )
    gradients = torch.autograd.grad(found.square().sum(), [features, *head.parameters()])

    kept = torch.empty(masks, 6, dim).bernoulli_(1 - rate, generator=seeded(2)).double()
    directions, mean = basis.directions.double(), basis.mean.double()
    exact = features.detach().double().requires_grad_()
    layer = nn.Linear(dim, classes).double()
    layer.load_state_dict(head.state_dict())
    dropped = mean + (kept * ((exact - mean) @ directions) / (1 - rate)) @ directions.T
    expected = layer(dropped)
    wanted = torch.autograd.grad(expected.square().sum(), [exact, *layer.parameters()])

    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert torch.allclose(ours.double(), theirs, rtol=1e-5, atol=1e-5 * float(theirs.norm()))


def test_a_basis_of_units_at_the_origin_is_masks_of_units() -> None:
    head, features = nn.Linear(12, 3), torch.randn(4, 12)
    units = Basis(torch.eye(12), torch.zeros(12))

    found, plain = (
        masked_logits(head, features, dropout_rate=0.5, masks=5, generator=seeded(), basis=basis)
        for basis in (units, None)
    )

    assert torch.equal(found, plain)


def test_the_gaussian_limit_is_that_of_masked_directions() -> None:
    head, features = nn.Linear(24, 3), stretched(2, 24)
    basis = principal_basis(stretched(100, 24))
    with torch.no_grad():
        exact = masked_logits(
            head, features, dropout_rate=0.5, masks=20_000, generator=seeded(), basis=basis
        )
        limit = masked_logits(
            head, features, dropout_rate=0.5, masks="inf", draws=20_000, generator=seeded(),
            basis=basis,
        )  # fmt: skip
        of_units = gaussian_logits(head.weight, head.bias, features, 0.5, 20_000, seeded())
    assert torch.allclose(limit.mean(0), head(features), atol=1e-3)
    assert torch.allclose(limit.std(0), exact.std(0), rtol=0.05)
    assert not torch.allclose(of_units.std(0), exact.std(0), rtol=0.05)


def test_without_dropout_the_logits_are_the_plain_ones() -> None:
    head, features = nn.Linear(24, 3), stretched(2, 24)
    basis = principal_basis(features)
    found = masked_logits(
        head, features, dropout_rate=0.0, masks=4, generator=seeded(), basis=basis
    )
    assert torch.equal(found, head(features)[None])
