import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.model import mask_features, masked_cross_entropy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_masked_feature_is_zero_or_scaled_by_one_over_the_keep_rate() -> None:
    features = torch.rand(16, 50) + 0.5
    masked = mask_features(features, 0.9, 4, seeded())
    assert masked.shape == (4, 16, 50)
    scaled = (features / 0.1).expand_as(masked)
    assert torch.all((masked == 0) | torch.isclose(masked, scaled))


@pytest.mark.parametrize("dropout_rate", [0.1, 0.5, 0.9, 0.95])
def test_the_share_of_zeroed_features_is_the_rate_and_the_mean_is_kept(dropout_rate: float) -> None:
    features = torch.ones(200, 500)
    masked = mask_features(features, dropout_rate, 10, seeded())
    zeroed = float((masked == 0).double().mean())
    deviation = (dropout_rate * (1 - dropout_rate) / masked.numel()) ** 0.5
    assert abs(zeroed - dropout_rate) < 5 * deviation
    assert abs(float(masked.double().mean()) - 1) < 5 * deviation / (1 - dropout_rate)


def test_masks_of_one_pass_differ_and_repeat_with_the_seed() -> None:
    features = torch.ones(3, 100)
    masked = mask_features(features, 0.5, 2, seeded(1))
    assert not torch.equal(masked[0], masked[1])
    assert torch.equal(masked, mask_features(features, 0.5, 2, seeded(1)))
    assert not torch.equal(masked, mask_features(features, 0.5, 2, seeded(2)))


def test_rate_zero_is_plain_cross_entropy_and_draws_nothing() -> None:
    head = nn.Linear(20, 5)
    features, labels = torch.randn(8, 20), torch.randint(5, (8,))
    generator = seeded()
    before = generator.get_state()
    loss = masked_cross_entropy(
        head, features, labels, dropout_rate=0.0, masks=8, generator=generator
    )
    assert torch.equal(loss, F.cross_entropy(head(features), labels))
    assert torch.equal(generator.get_state(), before)


def test_the_loss_is_the_mean_over_masks_and_so_is_its_gradient() -> None:
    head = nn.Linear(20, 5)
    features = torch.randn(8, 20, requires_grad=True)
    labels = torch.randint(5, (8,))
    loss = masked_cross_entropy(
        head, features, labels, dropout_rate=0.9, masks=3, generator=seeded(7)
    )
    loss.backward()
    gradient = features.grad

    again = features.detach().clone().requires_grad_()
    masked = mask_features(again, 0.9, 3, seeded(7))
    by_hand = torch.stack([F.cross_entropy(head(one), labels) for one in masked]).mean()
    by_hand.backward()
    assert torch.allclose(loss, by_hand)
    assert gradient is not None
    assert again.grad is not None
    assert torch.allclose(gradient, again.grad, atol=1e-6)
