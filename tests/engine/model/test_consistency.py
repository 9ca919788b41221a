"""Networks that the method would train or evaluate wrongly."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import InputError
from engine.model import FineTunedNetwork, build_network
from engine.model.consistency import check_consistency


def build(model: str, image_size: int = 64) -> FineTunedNetwork:
    return build_network(model, classes=3, weights="none", image_size=image_size, seed=0)


@pytest.mark.parametrize("model", ["ghostnet_050", "repghostnet_050", "legacy_seresnet18"])
def test_dropout_that_is_applied_as_a_function_is_switched_off(model: str) -> None:
    network = build(model)
    network.set_training(freeze_batchnorm=True)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(network.features(images), network.features(images))


def test_a_network_that_classifies_by_more_than_its_last_layer_is_refused() -> None:
    with pytest.raises(InputError, match=r"volo_d1_224 does not classify by its last layer"):
        build("volo_d1_224", 224)


class Odd(nn.Module):
    """A small timm network, made odd in one way."""

    def __init__(self, oddness: str) -> None:
        super().__init__()
        self.inner: Any = timm.create_model("test_resnet", num_classes=3)
        self.oddness = oddness

    def forward_features(self, images: Tensor) -> Tensor:
        features: Tensor = self.inner.forward_features(images)
        if self.oddness == "noisy":
            features = F.dropout(features, 0.1, self.training)
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        pooled: Tensor = self.inner.forward_head(features, pre_logits=True)
        if pre_logits:
            return pooled
        if self.oddness == "scaled":
            pooled = pooled * 2
        logits: Tensor = self.inner.fc(pooled)
        return logits + 1 if self.oddness == "shifted" else logits

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


def check(oddness: str) -> FineTunedNetwork:
    odd = Odd(oddness)
    network = FineTunedNetwork(odd, odd.inner.fc, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    check_consistency(network, "odd", 32)
    return network


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InputError, match="odd adds random noise of its own while training"):
        check("noisy")
    for oddness in ("scaled", "shifted"):
        with pytest.raises(InputError, match="odd does not classify by its last layer"):
            check(oddness)


@pytest.mark.parametrize("model", ["efficientvit_m0", "shvit_s1"])
def test_a_layer_that_training_passes_by_is_found_whatever_its_weights(model: str) -> None:
    with pytest.raises(InputError, match=rf"2 weights of {model} .*head\.bn\.weight"):
        build(model)


def test_a_check_leaves_the_network_and_the_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    odd = Odd("")
    odd.inner.bn1.train()
    before = {name: tensor.clone() for name, tensor in odd.state_dict().items()}
    torch.manual_seed(3)
    network = FineTunedNetwork(odd, odd.inner.fc, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    check_consistency(network, "odd", 32)
    assert torch.equal(torch.rand(1), expected)
    assert odd.inner.bn1.training
    assert all(parameter.grad is None for parameter in odd.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in odd.state_dict().items())
