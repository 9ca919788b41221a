"""Pruning by magnitude, and which weights are kept zero."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from engine.combine.averaging import WeightMean
from engine.errors import InputError
from engine.model import FineTunedNetwork, build_for, build_network
from engine.model.interpolation import blend
from engine.model.sparse import Zeros, prunable_weights, prune, sparsity_of
from engine.protocol import RunSpec

CLASSES = ("a", "b", "c")


def make(model: str = "test_resnet", **fields: object) -> FineTunedNetwork:
    """Build a network with random weights."""
    built = {"classes": 3, "weights": "none", "image_size": 32, "seed": 0, **fields}
    return build_network(model, **built)  # type: ignore[arg-type]


def values(network: FineTunedNetwork) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in network.module.named_parameters()}


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "test_efficientnet"])
def test_each_layer_loses_the_weights_that_torch_would_prune(model: str, sparsity: float) -> None:
    network, dense = make(model), make(model)
    prune(network, sparsity)
    layers = dict(dense.module.named_modules())
    pruned = prunable_weights(network)
    for name in pruned:
        layer = layers[name.removesuffix(".weight")]
        torch_prune.l1_unstructured(layer, "weight", amount=sparsity)
        assert torch.equal(pruned[name], layer.weight)
    before = values(make(model))
    for name, after in values(network).items():
        assert name in pruned or torch.equal(after, before[name])
    assert sparsity_of(network) == pytest.approx(sparsity, abs=2e-3)


def test_first_last_and_depthwise_layers_stay_dense() -> None:
    resnet, mobile, vit = (
        make("test_resnet"),
        make("test_efficientnet"),
        make("test_vit"),
    )
    convolutions = [
        name
        for name, layer in resnet.module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    assert list(prunable_weights(resnet)) == [f"{name}.weight" for name in convolutions[1:-1]]
    depthwise = [
        f"{name}.weight"
        for name, layer in mobile.module.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.groups > 1
    ]
    assert depthwise
    assert not prunable_weights(mobile).keys() & {*depthwise}
    assert not prunable_weights(vit).keys() & {"patch_embed.proj.weight", "head.weight"}


def test_each_of_several_networks_keeps_its_first_layer() -> None:
    network = make("test_resnet+test_vit", tuning="linear", linear_features="penultimate")
    names = prunable_weights(network)
    start = "backbone.networks."
    assert not names.keys() & {f"{start}0.conv1.0.weight", f"{start}1.patch_embed.proj.weight"}
    assert any(name.startswith(f"{start}0.") for name in names)
    assert any(name.startswith(f"{start}1.") for name in names)
    assert Zeros(network, keeps=True).tensors() == {}  # nothing of them is trained


def test_zeros_come_back_after_each_change_and_other_weights_keep_it() -> None:
    network = make()
    prune(network, 0.5)
    zeros = Zeros(network, keeps=True)
    masks = {name: mask.clone() for name, mask in zeros.tensors().items()}
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(1.0)
    changed = values(network)
    zeros.restore()
    for name, restored in values(network).items():
        kept = ~masks[name] if name in masks else torch.ones_like(restored, dtype=torch.bool)
        assert torch.equal(restored, changed[name] * kept)
    without = Zeros(network, keeps=False)
    before = values(network)
    without.restore()
    assert without.tensors() == {}
    assert all(torch.equal(each, before[name]) for name, each in values(network).items())


def test_networks_with_equal_zeros_have_them_in_their_mean() -> None:
    one, other = make(), make()
    prune(one, 0.5)
    masks = Zeros(one, keeps=True).tensors()
    with torch.no_grad():
        for name, weight in prunable_weights(other).items():
            weight.mul_(~masks[name] * torch.rand_like(weight))
    weights = [network.module.state_dict() for network in (one, other)]
    soup = WeightMean(weights[0])
    soup.add(weights[1])
    for mean in (soup.weights(), blend(weights[0], weights[1], 0.3)):
        for name, mask in masks.items():
            assert bool((mean[name][mask] == 0).all())
            assert not bool((mean[name][~mask] == 0).any())


def test_the_same_seed_is_pruned_in_the_same_way_and_a_checkpoint_not_again() -> None:
    spec = RunSpec(model="test_resnet", weights="none", image_size=32, sparsity=0.7)
    one, other = (build_for(spec, CLASSES, seed=3) for _ in range(2))
    assert all(torch.equal(each, values(other)[name]) for name, each in values(one).items())
    assert sparsity_of(one) == pytest.approx(0.7, abs=1e-3)
    assert sparsity_of(build_for(spec, CLASSES, seed=3, is_pretrained=False)) == 0


def test_zeros_of_dense_weights_cannot_be_kept() -> None:
    spec = RunSpec(model="test_resnet", weights="none", image_size=32, keep_zeros=True)
    with pytest.raises(InputError, match=r"Only 0\.00% of the weights of test_resnet .* are zero"):
        build_for(spec, CLASSES, seed=0)
