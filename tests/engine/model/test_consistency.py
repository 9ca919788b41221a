"""Networks that the method would train or evaluate wrongly."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

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
    with pytest.raises(InputError, match=r"volo_d1_224 does not classify with only its last layer"):
        build("volo_d1_224", 224)


class Odd(nn.Module):
    """A small timm network, made odd in one way."""

    def __init__(self, oddness: str) -> None:
        super().__init__()
        self.inner: Any = timm.create_model("test_resnet", num_classes=3)
        self.oddness = oddness
        self.stochastic_depth = StochasticDepth(0.01, "row")

    def forward_features(self, images: Tensor) -> Tensor:
        features: Tensor = self.inner.forward_features(images)
        if self.oddness == "one less the mean of the batch":
            return features - features.mean(dim=0, keepdim=True)
        return self._in_training(features) if self.training else features

    def _in_training(self, features: Tensor) -> Tensor:
        match self.oddness:
            case "noisy":
                return F.dropout(features, 0.1)
            case "seldom noisy":
                return self.stochastic_depth(features)  # type: ignore[no-any-return]
            case "of Python's numbers":
                return features * (random.random() > 0.01)
            case "of NumPy's numbers":
                return features * bool(np.random.random() > 0.01)
            case "scaled in training":
                return features * 2
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Any:
        pooled: Tensor = self.inner.forward_head(features, pre_logits=True)
        if pre_logits:
            match self.oddness:
                case "not flat":
                    return pooled[..., None, None]
                case "two":
                    return pooled, pooled
                case "too small":
                    raise RuntimeError("Kernel size can't be greater than actual input size")
            return pooled
        if self.oddness == "scaled":
            pooled = pooled * 2
        logits: Tensor = self.inner.fc(pooled)
        return logits + 1 if self.oddness == "shifted" else logits

    def forward(self, images: Tensor) -> Any:
        return self.forward_head(self.forward_features(images))


def check(oddness: str) -> FineTunedNetwork:
    odd = Odd(oddness)
    network = FineTunedNetwork(odd, odd.inner.fc, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    check_consistency(network, "odd", 32)
    return network


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InputError, match="odd adds its own random noise in training"):
        check("noisy")
    for oddness in ("scaled", "shifted"):
        with pytest.raises(InputError, match="odd does not classify with only its last layer"):
            check(oddness)


@pytest.mark.parametrize("oddness", ["seldom noisy", "of Python's numbers", "of NumPy's numbers"])
def test_noise_that_is_seldom_seen_is_found_by_the_random_numbers_it_takes(oddness: str) -> None:
    with pytest.raises(InputError, match="odd adds its own random noise in training"):
        check(oddness)


def test_features_that_training_changes_are_refused() -> None:
    with pytest.raises(InputError, match="odd computes different features in training than in ev"):
        check("scaled in training")


def test_features_that_depend_on_the_other_images_of_a_batch_are_refused() -> None:
    with pytest.raises(InputError, match="image's features depend on the other images"):
        check("one less the mean of the batch")


@pytest.mark.parametrize("oddness", ["not flat", "two"])
def test_features_that_are_no_vector_are_refused(oddness: str) -> None:
    with pytest.raises(InputError, match="odd does not produce 96 pooled features per image"):
        check(oddness)


def test_a_network_that_cannot_read_images_of_a_size_is_refused() -> None:
    with pytest.raises(InputError, match="odd does not accept images of 32 px: Kernel size"):
        check("too small")


@pytest.mark.parametrize("model", ["efficientvit_m0", "shvit_s1"])
def test_a_layer_that_training_passes_by_is_found_whatever_its_weights(model: str) -> None:
    with pytest.raises(InputError, match=rf"2 parameters of {model} .*head\.bn\.weight"):
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


def test_a_network_of_ones_own_without_a_configuration_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(**_options: Any) -> nn.Module:
        return Odd("")

    monkeypatch.setitem(timm.models._registry._model_entrypoints, "odd", make)
    with pytest.raises(InputError, match=r"timm cannot create odd for 64 px: .*no pretrained cfg"):
        build("odd")
