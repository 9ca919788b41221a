"""Linear fine-tuning weighs the features of the last blocks and trains nothing else."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import InputError
from engine.model import FineTunedNetwork, build_network
from engine.model.linear import LinearNetwork
from tests.small_runs import MakeRun, run_here


def _network(model: str, image_size: int = 64) -> tuple[FineTunedNetwork, LinearNetwork]:
    network = build_network(
        model, classes=5, weights="none", image_size=image_size, seed=0, tuning="linear"
    )
    assert isinstance(network.module, LinearNetwork)
    return network, network.module


@pytest.mark.parametrize(
    ("model", "blocks", "width"),
    [
        ("resnet50", ("layer4.0", "layer4.1", "layer4.2"), 2048),
        ("tf_efficientnet_lite0", ("blocks.5.1", "blocks.5.2", "blocks.5.3"), 192),
        ("convnext_tiny", ("stages.3.blocks.0", "stages.3.blocks.1", "stages.3.blocks.2"), 768),
        ("vit_tiny_patch16_224", ("blocks.9", "blocks.10", "blocks.11"), 192),
    ],
)
def test_the_last_three_blocks_of_equal_width(
    model: str, blocks: tuple[str, ...], width: int
) -> None:
    network, module = _network(model)
    assert module.block_names == blocks
    assert network.features(torch.randn(2, 3, 64, 64)).shape == (2, width)
    trained = sum(each.numel() for each in module.parameters() if each.requires_grad)
    assert trained == 3 * width + 5 * width + 5


@pytest.mark.parametrize("model", ["resnet18", "resnet10t", "vgg11"])
def test_a_network_without_such_blocks_is_refused(model: str) -> None:
    with pytest.raises(InputError, match=rf"{model} has no 3 blocks .* or --tuning full"):
        _network(model)


def test_features_are_the_weighed_sum_of_pooled_and_normalised_blocks() -> None:
    network, module = _network("resnet50")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        module.scales.copy_(torch.rand_like(module.scales))
        stem = module.backbone.maxpool(
            module.backbone.act1(module.backbone.bn1(module.backbone.conv1(images)))
        )
        before = module.backbone.layer3(module.backbone.layer2(module.backbone.layer1(stem)))
        expected = torch.zeros(2, 2048)
        for index, block in enumerate(module.backbone.layer4):
            before = block(before)
            pooled = before.mean(dim=(2, 3))
            expected += module.scales[index] * pooled / pooled.square().mean(1, True).sqrt()
    assert torch.allclose(network.features(images), expected, atol=1e-5)
    assert torch.allclose(module(images), module.head(expected), atol=1e-5)


def test_a_run_leaves_the_backbone_as_it_was(make_run: MakeRun) -> None:
    run_dir = make_run(
        model="tf_efficientnet_lite0", tuning="linear", arms=["averaged"], freeze_batchnorm=False
    )
    run_here(run_dir)
    spec = run_dir.read_spec()
    states = [load_file(path) for path in sorted(run_dir.checkpoints.iterdir())]
    averaged, best = states[0], states[1]
    last = {name.removeprefix("network."): tensor for name, tensor in states[2].items()}
    assert spec.tuning == "linear"
    for name in best:
        if name.startswith("backbone."):
            assert torch.equal(best[name], last[name])
            assert torch.allclose(averaged[name].float(), last[name].float(), atol=1e-6)
    assert not torch.equal(last["scales"], torch.ones_like(last["scales"]))
