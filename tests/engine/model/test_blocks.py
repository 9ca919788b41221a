"""The blocks and stages of timm's networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.model import build_network
from engine.model.blocks import block_outputs, mean_over_positions, output_width, stage_blocks


@pytest.mark.parametrize(
    ("model", "stages"),
    [
        ("test_resnet", {f"layer{n}": f"layer{n}.0" for n in range(1, 5)}),
        ("test_efficientnet", {f"blocks.{n}": f"blocks.{n}.0" for n in range(5)}),
        ("test_convnext", {f"stages.{n}": f"stages.{n}.blocks.0" for n in range(4)}),
        ("test_vit", {f"blocks.{n}": f"blocks.{n}" for n in range(6)}),
    ],
)
def test_the_last_block_of_each_stage(model: str, stages: dict[str, str]) -> None:
    network = build_network(model, classes=3, weights="none", image_size=64, seed=0)
    found = stage_blocks(network.module)
    assert list(found) == list(stages)
    assert all(name.startswith(stage) for stage, name in found.items())


def test_outputs_are_those_of_the_stages() -> None:
    network = build_network("test_resnet", classes=3, weights="none", image_size=64, seed=0)
    network.module.eval()
    given: list[torch.Tensor] = []
    stage = network.module.get_submodule("layer2")
    handle = stage.register_forward_hook(lambda _module, _inputs, output: given.append(output))
    images = torch.randn(2, 3, 64, 64)
    names = stage_blocks(network.module)
    with torch.no_grad():
        outputs = block_outputs(network.module, list(names.values()), images)
    handle.remove()
    output = outputs[list(names).index("layer2")]
    assert torch.equal(output, given[0])
    assert output_width(output) == output.shape[1]
    pooled = mean_over_positions(output, output.shape[1])
    assert torch.allclose(pooled, output.mean(dim=(2, 3)))
    assert not any(module._forward_hooks for module in network.module.modules())


def test_a_network_of_another_kind_has_no_stages() -> None:
    assert stage_blocks(nn.Sequential(nn.Linear(2, 2))) == {}


def test_tokens_are_positions() -> None:
    tokens = torch.randn(2, 17, 8)
    assert output_width(tokens) == 8
    assert torch.allclose(mean_over_positions(tokens, 8), tokens.mean(dim=1))
    assert output_width([tokens]) is None
    assert output_width(nn.Identity()) is None
