"""Masks of the channels of a block inside a network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.errors import InputError
from engine.model import FineTunedNetwork, build_network
from engine.model.blocks import stage_blocks
from engine.model.masked_block import MaskedBlock, find_block

SIZE = 64
FAMILIES = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(model: str) -> FineTunedNetwork:
    network = build_network(model, classes=3, weights="none", image_size=SIZE, seed=0)
    network.module.eval()
    return network


def found(network: FineTunedNetwork, name: str) -> MaskedBlock:
    return find_block(network.module, name, "a network", SIZE)


def images(number: int = 5) -> Tensor:
    return torch.randn(number, 3, SIZE, SIZE, generator=seeded(1))


def test_masks_of_the_last_stage_are_masks_of_the_pooled_features() -> None:
    network = built("test_resnet")
    block = found(network, "layer4")
    mask = block.draw(5, 0.5, seeded())
    with torch.no_grad():
        plain, masked = network.features(images()), network.features(images(), None, mask)
    assert block.width == network.feature_dim
    assert torch.allclose(masked, plain * mask.scales, atol=1e-5)
    assert set(mask.scales.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("model", FAMILIES)
def test_a_channel_is_zero_at_every_position_or_scaled(model: str) -> None:
    network = built(model)
    name, module = list(stage_blocks(network.module).items())[1]
    block = found(network, name)
    mask = block.draw(5, 0.9, seeded())
    outputs: list[Tensor] = []
    hook = network.module.get_submodule(module).register_forward_hook(
        lambda _module, _inputs, output: outputs.append(output)
    )
    with torch.no_grad():
        network.features(images())
        with mask.applied(network.module):  # its hook runs after the one above
            network.features(images())
        hook.remove()
    plain, _ = outputs
    masked: list[Tensor] = []
    with torch.no_grad(), mask.applied(network.module):
        hook = network.module.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output: masked.append(output)
        )
        network.features(images())
        hook.remove()
    axis = 2 if plain.ndim == 3 else 1
    shape = [5, 1, 1, 1][: plain.ndim]
    shape[axis] = block.width
    assert torch.allclose(masked[0], plain * mask.scales.view(shape), atol=1e-5)
    assert not any(each._forward_hooks for each in network.module.modules())


def test_parts_of_a_batch_have_their_own_rows_of_the_mask() -> None:
    network = built("test_resnet")
    mask = found(network, "layer2").draw(5, 0.5, seeded())
    gradients = []
    for at_once in (None, 2):
        network.module.zero_grad()
        features = network.features(images(), at_once, mask)
        features.square().sum().backward()
        weight = network.module.get_submodule("layer1.0.conv1").weight
        assert isinstance(weight.grad, Tensor)
        gradients.append((features.detach(), weight.grad.clone()))
    (whole, of_whole), (parts, of_parts) = gradients
    assert torch.allclose(parts, whole, atol=1e-5)
    assert torch.allclose(of_parts, of_whole, rtol=1e-4, atol=1e-5)


def test_the_share_of_masked_channels_is_the_rate_and_the_mean_is_kept() -> None:
    scales = MaskedBlock("x", 500).draw(200, 0.9, seeded()).scales
    assert float((scales == 0).double().mean()) == pytest.approx(0.9, abs=0.01)
    assert float(scales.double().mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["layer3.0", "layer3"])
def test_a_block_is_found_by_its_name_or_its_stage(name: str) -> None:
    assert found(built("test_resnet"), name).name == "layer3.0"


def test_an_unknown_block_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        find_block(built("test_resnet").module, "layer5", "test_resnet", SIZE)
    message = str(caught.value)
    assert "mask_at is 'layer5', but test_resnet has no stage or block" in message
    assert "Did you mean layer" in message
    assert "Its stages are layer1, layer2, layer3, layer4." in message
