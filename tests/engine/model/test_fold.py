"""BatchNorm with fixed statistics is folded exactly, and only where nothing else reads it."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.std_conv import StdConv2d
from torch import Tensor, nn

from engine.model import FineTunedNetwork
from engine.model.backbone import build_network
from engine.model.fold import Folded, find_pairs

PX = 64
SMALL = ("test_resnet", "test_efficientnet", "test_byobnet")
FAMILIES = {
    "densenet121": 59,  # of 121: the others are before a convolution
    "efficientnet_b0": 49,
    "ghostnet_050": 80,
    "hrnet_w18_small": 91,
    "mobilenetv3_small_050": 34,
    "regnetx_002": 44,
    "repvgg_a0": 44,  # of 61: the others normalise the block's input
    "resnest14d": 23,
    "resnet18": 20,
    "tf_efficientnet_lite0": 49,
    "skresnet18": 36,
    "xception41": 84,
}


def network_of(model: str, **options: str) -> FineTunedNetwork:
    """Return a network whose BatchNorm has statistics and weights unlike those of a new one."""
    network = build_network(
        model, classes=5, weights="none", image_size=PX, seed=0, **options  # type: ignore[arg-type]
    )  # fmt: skip
    random = torch.Generator().manual_seed(1)
    for norm in network.module.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
            assert norm.running_var is not None
            norm.running_mean.normal_(0, 0.3, generator=random)
            norm.running_var.uniform_(0.5, 2, generator=random)
            with torch.no_grad():
                norm.weight.uniform_(0.5, 1.5, generator=random)
                norm.bias.normal_(0, 0.3, generator=random)
    network.set_training(freeze_batchnorm=True)
    return network


def images_of(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 3, PX, PX, dtype=dtype, generator=torch.Generator().manual_seed(0))


def results(network: FineTunedNetwork, images: Tensor, **options: bool | int) -> dict[str, Tensor]:
    """Return logits and gradients by name."""
    logits = network.head(network.features(images, **options))  # type: ignore[arg-type]
    network.module.zero_grad(set_to_none=True)
    logits.square().sum().backward()
    found = {name: each.grad for name, each in network.module.named_parameters()}
    return {
        "logits": logits.detach(),
        **{name: each for name, each in found.items() if each is not None},
    }


def differences(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[float]:
    """Return the difference of each tensor relative to its own size."""
    assert ours.keys() == theirs.keys()
    return [
        float((ours[name] - each).norm() / each.norm().clamp_min(1e-30))
        for name, each in theirs.items()
    ]


def check_fold(network: FineTunedNetwork) -> None:
    """Compare logits and gradients with those of the two layers, in fp32 and float64."""
    images = images_of(2)
    logits, *gradients = differences(results(network, images, folds=True), results(network, images))
    assert logits < 1e-5
    assert statistics.median(gradients) < 1e-5
    # Rounding may move an activation across the kink of its ReLU, which switches its gradient.
    assert max(gradients) < 1e-3
    network.module.double()
    images = images_of(2, torch.float64)
    assert max(differences(results(network, images, folds=True), results(network, images))) < 1e-12


@pytest.mark.parametrize("model", SMALL)
def test_logits_and_gradients_are_those_of_the_two_layers(model: str) -> None:
    network = network_of(model)
    assert network.pairs
    check_fold(network)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "pairs"), FAMILIES.items())
def test_every_family_folds_exactly(model: str, pairs: int) -> None:
    network = network_of(model)
    assert len(network.pairs) == pairs
    check_fold(network)


@pytest.mark.parametrize("model", ["test_convnext", "test_vit", "test_nfnet"])
def test_a_network_without_batchnorm_has_nothing_to_fold(model: str) -> None:
    size = 160 if model == "test_vit" else PX
    network = build_network(model, classes=5, weights="none", image_size=size, seed=0)
    assert network.pairs == ()
    images = torch.randn(1, 3, size, size)
    assert torch.equal(network.features(images, folds=True), network.features(images))


def test_weights_keep_their_names_and_are_not_changed() -> None:
    network = network_of("test_resnet")
    before = copy.deepcopy(network.module.state_dict())
    with network.folded(True), torch.no_grad():
        network.module(images_of(1))
        during = network.module.state_dict()
    after = network.module.state_dict()
    assert before.keys() == during.keys() == after.keys()
    assert all(torch.equal(before[name], each) for name, each in after.items())
    assert [*dict(network.module.named_parameters())] == [
        *dict(copy.deepcopy(network).module.named_parameters())
    ]


def test_a_copy_folds_its_own_weights() -> None:
    network = network_of("test_resnet")
    other = copy.deepcopy(network)
    with torch.no_grad():
        for each in other.module.parameters():
            each.mul_(1.1)
    images = images_of(2)
    assert max(differences(results(other, images, folds=True), results(other, images))) < 1e-5
    assert network.pairs[0].convolution is not other.pairs[0].convolution


def test_chunks_of_a_batch_fold_once_and_agree() -> None:
    network, images = network_of("test_resnet"), images_of(5)
    whole = results(network, images)
    assert max(differences(results(network, images, folds=True, at_once=2), whole)) < 1e-5


def test_channels_last_and_bf16_agree_with_the_two_layers() -> None:
    network = network_of("test_resnet")
    network.module.to(memory_format=torch.channels_last)
    images = images_of(2).contiguous(memory_format=torch.channels_last)
    assert max(differences(results(network, images, folds=True), results(network, images))) < 1e-5
    with torch.no_grad():
        exact = network.features(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            plain, folded = network.features(images), network.features(images, folds=True)
    scale = exact.norm()
    assert (folded.float() - exact).norm() < 2 * (plain.float() - exact).norm() + 1e-3 * scale


def test_linear_tuning_folds_its_frozen_backbone() -> None:
    network = network_of("tf_efficientnet_lite0", tuning="linear")
    assert network.pairs
    images = images_of(2)
    assert max(differences(results(network, images, folds=True), results(network, images))) < 1e-5


def test_batchnorm_whose_statistics_train_is_not_folded() -> None:
    network = network_of("test_resnet")
    network.module.train()
    plain = copy.deepcopy(network)
    images = images_of(4)
    assert torch.equal(network.features(images, folds=True), plain.features(images))
    theirs = plain.module.state_dict()
    assert all(
        torch.equal(each, theirs[name]) for name, each in network.module.state_dict().items()
    )


def test_an_exception_in_a_pass_leaves_the_network_as_it_was() -> None:
    network, images = network_of("test_resnet"), images_of(1)
    before = network.features(images)
    with pytest.raises(RuntimeError):
        network.features(torch.zeros(1, 4, PX, PX), folds=True)
    assert torch.equal(network.features(images), before)


class Block(nn.Module):
    """A convolution and BatchNorm, used as ``use`` says."""

    def __init__(self, use: Callable[[Block, Tensor], Any]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.other = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.use = use

    def forward(self, images: Tensor) -> Any:
        return self.use(self, images)


def twice(block: Block, images: Tensor) -> Any:
    return block.norm(block.convolution(block.convolution(images)))


def added_before(block: Block, images: Tensor) -> Any:
    output = block.convolution(images)
    return block.norm(output) + output


def changed_before(block: Block, images: Tensor) -> Any:
    return block.norm(block.convolution(images).mul_(2))


def seen_from_another_side(block: Block, images: Tensor) -> Any:
    output = block.convolution(images)
    return block.norm(output) + output.flatten(2).mean()


def two_norms(block: Block, images: Tensor) -> Any:
    return block.norm(block.norm(block.convolution(images)))


def tied(block: Block, images: Tensor) -> Any:
    return block.norm(block.convolution(images)) + block.other(images)


def by_function(block: Block, images: Tensor) -> Any:
    output = block.norm(block.convolution(images))
    return output + F.conv2d(images, block.convolution.weight, padding=1)


def normalised_by_function(block: Block, images: Tensor) -> Any:
    norm, output = block.norm, block.convolution(images)
    return F.batch_norm(output, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def decayed(block: Block, images: Tensor) -> Any:
    return block.norm(block.convolution(images)) * block.convolution.weight.norm()


def returned(block: Block, images: Tensor) -> Any:
    output: Tensor = block.convolution(images)
    block.norm(output)
    return output


def alone(block: Block, images: Tensor) -> Any:
    return block.norm(block.convolution(images))


def pairs_of(block: nn.Module) -> int:
    block.eval()
    return len(find_pairs(block, [lambda: block(torch.randn(1, 3, 8, 8))]))


def test_the_blocks_of_these_tests_fold_if_nothing_else_reads_them() -> None:
    assert pairs_of(Block(alone)) == 1


@pytest.mark.parametrize(
    "use",
    [twice, added_before, changed_before, seen_from_another_side, two_norms, by_function,
     normalised_by_function, decayed, returned],
)  # fmt: skip
def test_what_is_read_by_more_than_its_batchnorm_is_left_alone(
    use: Callable[[Block, Tensor], Any],
) -> None:
    assert pairs_of(Block(use)) == 0


def test_a_convolution_whose_weights_are_shared_is_left_alone() -> None:
    block = Block(tied)
    assert pairs_of(block) == 1
    block.other.weight = block.convolution.weight
    assert pairs_of(block) == 0


def test_layers_that_compute_something_else_are_left_alone() -> None:
    block = Block(alone)
    block.convolution = StdConv2d(3, 3, 3, padding=1)
    assert pairs_of(block) == 0
    block = Block(alone)
    nn.utils.parametrizations.weight_norm(block.convolution)
    assert pairs_of(block) == 0
    block = Block(alone)
    nn.utils.spectral_norm(block.convolution)
    assert pairs_of(block) == 0
    block = Block(alone)
    block.norm = nn.BatchNorm2d(3, track_running_stats=False)
    assert pairs_of(block) == 0


def test_every_pass_must_agree() -> None:
    block = Block(alone).eval()
    images = torch.randn(1, 3, 8, 8)
    passes = [lambda: block(images), lambda: added_before(block, images)]
    assert len(find_pairs(block, passes[:1])) == 1
    assert find_pairs(block, passes) == ()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
def test_layers_with_and_without_bias_and_affine_weights_fold(
    kind: type[nn.BatchNorm2d], bias: bool, affine: bool
) -> None:
    block = Block(alone).double()
    block.convolution = nn.Conv2d(3, 3, 3, bias=bias, groups=3).double()
    block.norm = kind(3, affine=affine, eps=0.1).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    block(images)  # statistics unlike a new layer's
    block.eval()
    pairs = find_pairs(block, [lambda: block(images)])
    found = []
    for context in (nullcontext(), Folded(pairs)):
        with context:
            found.append(block(images))
    assert len(pairs) == 1
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)
