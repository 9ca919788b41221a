"""The Gaussian limit of many masks, against exact masks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model import gaussian_logits, masked_cross_entropy, masked_logits

MASKS = 4096
DRAWS = 1024


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(features: int, classes: int, images: int = 6) -> tuple[nn.Linear, Tensor, Tensor]:
    """Return a last layer, positive features and labels that give logits of usual sizes."""
    generator = seeded(3)
    head = nn.Linear(features, classes).double()
    with torch.no_grad():
        noise = torch.randn(classes, features, generator=generator, dtype=torch.float64)
        head.weight.copy_(noise / math.sqrt(features))
        head.bias.copy_(torch.randn(classes, generator=generator))
    inputs = torch.randn(images, features, generator=generator, dtype=torch.float64).relu()
    return head, inputs, torch.randint(classes, (images,), generator=generator)


def gradients(head: nn.Linear, inputs: Tensor, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [inputs, head.weight, head.bias]))


def of_masks(head: nn.Linear, inputs: Tensor, labels: Tensor, rate: float) -> list[list[Tensor]]:
    """Return loss and gradients of 16 disjoint parts of the masks, in float64."""
    generator, parts = seeded(5), []
    for _ in range(16):
        kept = torch.empty(MASKS // 16, *inputs.shape, dtype=torch.float64)
        kept.bernoulli_(1 - rate, generator=generator)
        logits = head(inputs * kept / (1 - rate))
        loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))
        parts.append([loss.detach(), *gradients(head, inputs, loss)])
    return parts


@pytest.mark.parametrize(
    ("classes", "draws"), [(5, DRAWS), (40, 32)], ids=["covariance", "noise of features"]
)
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_loss_and_gradients_are_those_of_many_masks(rate: float, classes: int, draws: int) -> None:
    head, inputs, labels = problem(features=300, classes=classes)
    inputs.requires_grad_()
    parts = of_masks(head, inputs, labels, rate)

    head.float()
    limit = inputs.detach().float().requires_grad_()
    generator = seeded(6)
    parts_of_draws = [
        gaussian_logits(head.weight, head.bias, limit, rate, draws, generator)
        for _ in range(DRAWS // draws)
    ]
    logits = torch.cat(parts_of_draws)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))
    found = [loss.detach(), *gradients(head, limit, loss)]

    for name, value, *of_parts in zip(("loss", "φ", "W", "b"), found, *parts, strict=True):
        stacked = torch.stack(of_parts)
        error = stacked.var(0).sum().div(len(of_parts)).sqrt()  # of the mean of all masks
        distance = (value - stacked.mean(0)).norm()
        assert distance < 2 * error + 0.02 * stacked.mean(0).norm(), (name, distance, error)


def test_the_draws_have_the_mean_and_the_covariance_of_masked_logits() -> None:
    head, inputs, _ = problem(features=40, classes=3, images=2)
    head.float()
    inputs = inputs.float()

    logits = gaussian_logits(head.weight, head.bias, inputs, 0.9, 40_000, seeded())

    weighted = head.weight * inputs[:, None]
    covariance = 9 * weighted @ weighted.transpose(1, 2)
    offsets = logits - logits.mean(0)
    offsets, covariance = offsets.detach(), covariance.detach()
    found = torch.einsum("kbc,kbd->bcd", offsets, offsets) / len(logits)
    assert torch.allclose(logits.mean(0), head(inputs), atol=1e-4)
    assert torch.allclose(found, covariance, atol=0.05 * float(covariance.abs().max()))


def test_few_features_are_not_gaussian() -> None:
    """Many masks drop all of few features, which no Gaussian does: the limit's loss is too high."""
    head, inputs, labels = problem(features=4, classes=5)
    exact = torch.stack([part[0] for part in of_masks(head, inputs.requires_grad_(), labels, 0.9)])

    limit = masked_cross_entropy(
        head.float(), inputs.float(), labels,
        dropout_rate=0.9, masks="inf", generator=seeded(), draws=DRAWS,
    )  # fmt: skip

    assert float(limit.detach() - exact.mean()) > 10 * float(exact.std()) / 4


@pytest.mark.parametrize("classes", [5, 100])
def test_a_last_layer_of_zeros_and_an_image_without_features_have_finite_gradients(
    classes: int,
) -> None:
    head = nn.Linear(50, classes)
    features = torch.rand(4, 50)
    features[0] = 0
    features.requires_grad_()
    nn.init.zeros_(head.weight)
    for _ in range(2):  # from zero, then with weights that sum to zero over the classes
        loss = masked_cross_entropy(
            head, features, torch.zeros(4, dtype=torch.int64),
            dropout_rate=0.9, masks="inf", generator=seeded(),
        )  # fmt: skip
        found = torch.autograd.grad(loss, [head.weight, head.bias, features])
        assert all(bool(torch.isfinite(each).all()) for each in found)
        assert float(found[0].abs().sum()) > 0
        with torch.no_grad():
            head.weight -= 0.1 * found[0]


def test_covariances_of_dependent_logits_have_factors() -> None:
    """Weights of all classes are multiples of one vector, nearly so after few steps from zero."""
    head, generator = nn.Linear(512, 18), seeded(1)
    with torch.no_grad():
        multiples = torch.randn(18, 1, generator=generator)
        head.weight.copy_(multiples * torch.randn(1, 512, generator=generator))
    features = torch.randn(300, 512, generator=generator).requires_grad_()
    logits = masked_logits(head, features, dropout_rate=0.9, masks="inf", generator=seeded())
    found = torch.autograd.grad(logits.square().mean(), [head.weight, features])
    assert all(bool(torch.isfinite(each).all()) for each in found)


def test_features_that_are_not_finite_give_no_finite_loss() -> None:
    features = torch.rand(4, 20)
    features[1, 2] = math.inf
    loss = masked_cross_entropy(
        nn.Linear(20, 3), features, torch.zeros(4, dtype=torch.int64),
        dropout_rate=0.9, masks="inf", generator=seeded(),
    )  # fmt: skip
    assert not math.isfinite(float(loss.detach()))


def test_rate_zero_is_the_plain_logits_and_draws_nothing() -> None:
    head, features = nn.Linear(20, 5), torch.randn(8, 20)
    generator = seeded()
    before = generator.get_state()

    logits = masked_logits(head, features, dropout_rate=0.0, masks="inf", generator=generator)

    assert torch.equal(logits, head(features)[None])
    assert torch.equal(generator.get_state(), before)


def test_an_odd_number_of_draws_is_kept() -> None:
    head, features = nn.Linear(20, 3), torch.randn(8, 20)
    logits = masked_logits(
        head, features, dropout_rate=0.5, masks="inf", generator=seeded(), draws=5
    )
    assert logits.shape == (5, 8, 3)
