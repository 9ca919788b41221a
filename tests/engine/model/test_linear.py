"""Linear fine-tuning weighs the features of the last blocks and trains nothing else."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import InputError
from engine.model import FineTunedNetwork, build_network
from engine.model.linear import LinearNetwork, LinearStart
from engine.model.tensor_file import read_metadata
from engine.protocol import RunStopped
from tests.small_runs import SMALL_CLASSES, MakeRun, run_here, stop_here


def _network(
    model: str, image_size: int = 64, start: LinearStart = "ones", seed: int = 0
) -> tuple[FineTunedNetwork, LinearNetwork]:
    network = build_network(
        model, classes=5, weights="none", image_size=image_size, seed=seed,
        tuning="linear", linear_start=start,
    )  # fmt: skip
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
    with pytest.raises(
        InputError, match=rf"{model} has no 3 consecutive blocks .* or --tuning full"
    ):
        _network(model)


def test_a_network_whose_blocks_give_several_tensors_is_refused() -> None:
    with pytest.raises(InputError, match="mvitv2_tiny has no 3 consecutive blocks"):
        _network("mvitv2_tiny")


def test_a_network_that_cannot_read_images_of_a_size_is_refused() -> None:
    with pytest.raises(InputError, match="crossvit_tiny_240 does not accept images of 64 px: "):
        _network("crossvit_tiny_240")


@pytest.mark.parametrize("start", ["ones", "authors"])
def test_features_are_the_weighed_sum_of_pooled_blocks(start: LinearStart) -> None:
    network, module = _network("resnet50", start=start)
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
            rms = pooled.square().mean(1, True).sqrt()
            expected += module.scales[index] * (pooled / rms if start == "ones" else pooled)
    assert torch.allclose(network.features(images), expected, atol=1e-5)
    assert torch.allclose(module(images), module.head(expected), atol=1e-5)


def test_the_authors_weights_of_features_start_as_normal_draws_of_the_seed() -> None:
    first, again, other = (
        _network("resnet50", 32, "authors", seed)[1].scales.detach() for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert abs(float((first * other).mean())) < 0.05  # 6,144 independent draws
    assert abs(float(first.mean())) < 0.05
    assert abs(float(first.std()) - 1) < 0.05
    assert torch.equal(_network("resnet50", 32)[1].scales, torch.ones(3, 2048))


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


def test_a_run_of_the_authors_start_resumes_with_its_features(make_run: MakeRun) -> None:
    fields = {
        "tuning": "linear", "linear_start": "authors", "model": "test_vit", "steps": 4,
        "eval_every": 2, "head_steps": 0, "views": 1,
    }  # fmt: skip
    whole, parts = make_run("whole", **fields), make_run("parts", **fields)
    run_here(whole)
    assert isinstance(stop_here(parts, 4), RunStopped)
    run_here(parts)
    ours, theirs = load_file(parts.last_checkpoint), load_file(whole.last_checkpoint)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert read_metadata(whole.best_checkpoint)["linear_start"] == "authors"
    loaded = build_network(
        "test_vit", classes=3, weights=str(whole.best_checkpoint), image_size=32, seed=9,
        tuning="linear", linear_start="authors", class_names=SMALL_CLASSES,
    )  # fmt: skip
    saved = load_file(whole.best_checkpoint)
    assert all(torch.equal(each, saved[name]) for name, each in loaded.module.state_dict().items())


def test_weights_of_other_features_are_not_taken(make_run: MakeRun) -> None:
    run_dir = make_run("ones", tuning="linear", model="test_vit", steps=2)
    run_here(run_dir)
    network = build_network(
        "test_vit", classes=3, weights=str(run_dir.best_checkpoint), image_size=32, seed=1,
        tuning="linear", linear_start="authors", class_names=SMALL_CLASSES,
    )  # fmt: skip
    saved = load_file(run_dir.best_checkpoint)
    assert isinstance(network.module, LinearNetwork)
    assert float((network.module.scales.detach() - saved["scales"]).abs().max()) > 0.5
    assert network.loaded is not None
    assert network.loaded.last_layer == "new: the file's layer reads linear features"
