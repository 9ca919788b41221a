"""Rows on linear fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor

from benchmarks.parity.reference import linear as theirs
from benchmarks.parity.reference.training import Network
from benchmarks.parity.row import Expected, Row, difference_text, largest_difference
from benchmarks.parity.updates import STEPS, Weights, compare_updates, head_of
from engine.model import build_network
from engine.model.linear import LinearNetwork, LinearStart
from engine.protocol import RunSpec
from engine.train.setup import Training

SIZE: Final = 64
CLASSES: Final = 5


def features(_folder: Path) -> Row:
    """Compare the input of the last layer, and the initial weights of features."""
    ours, expected = _both("authors")
    images = _images()
    blocks = largest_difference([ours.forward_features(images)], [expected.blocks(images)])
    sums = largest_difference(
        [ours.forward_head(ours.forward_features(images), pre_logits=True)], [expected(images)]
    )
    v = ours.scales.detach().flatten()
    mean, deviation = float(v.mean()), float(v.std())
    error = len(v) ** -0.5
    return Row(
        "features of linear tuning, `--linear-start authors`",
        "Σ v ⊙ pooled outputs of the last three blocks, v ~ N(0, 1) (authors, "
        "`resnet50_unfold.py`)",
        "the same",
        f"torchvision's ResNet-50 against timm's, random weights, 4 images at {SIZE} px, the "
        "same v",
        f"pooled outputs: {difference_text(blocks)}; sums: {difference_text(sums)}; initial v has "
        f"mean {mean:.3f} and standard deviation {deviation:.3f} ({len(v):,} values)",
        max(blocks, sums) < 1e-5 and abs(mean) < 4 * error and abs(deviation - 1) < 4 * error,
    )


def updates(folder: Path) -> Row:
    """Compare steps of linear tuning."""
    found = compare_updates(
        folder, build=_unfolded, weights_of=_weights, model="resnet50", tuning="linear",
        linear_start="authors", image_size=SIZE,
    )  # fmt: skip
    return Row(
        f"{STEPS} updates of linear tuning",
        "`ERM.update`: only v, V and b get gradients (authors)",
        "the engine's `take_step` with `--tuning linear --linear-start authors`",
        "as for the updates above, with ResNet-50",
        found.text,
        max(found.loss, found.weights) < 1e-5 < found.moved,
    )


def ones(_folder: Path) -> Row:
    """Compare the other reading of the paper with the authors' file."""
    ours, expected = _both("ones")
    images = _images()
    mine = ours.forward_head(ours.forward_features(images), pre_logits=True)
    other = expected(images)
    relative = float((mine - other).norm() / other.norm())
    rms = ours.forward_features(images).square().mean(dim=2).sqrt()
    return Row(
        "features of linear tuning, `--linear-start ones` (the default)",
        "as above",
        "each block divided by its root mean square, v starts at 1: the paper says normalised, but "
        "not how",
        "the same, with the same v",
        f"relative difference {relative:.1f}; ours have a root mean square of "
        f"{float(rms.min()):.3f} to {float(rms.max()):.3f}",
        relative > 0.1 and float((rms - 1).abs().max()) < 1e-3 and bool((ours.scales == 1).all()),
        Expected.DIFFERENT,
    )


def _both(start: LinearStart) -> tuple[LinearNetwork, theirs.UnfoldedResNet50]:
    """Return both networks with the same weights and v."""
    network = build_network(
        "resnet50", classes=CLASSES, weights="none", image_size=SIZE, seed=0, tuning="linear",
        linear_start=start,
    )  # fmt: skip
    ours = cast("LinearNetwork", network.module)
    expected = theirs.UnfoldedResNet50()
    expected.resnet.load_state_dict(ours.backbone.state_dict())
    expected.v.data = ours.scales.detach().clone()
    return ours.eval(), expected.eval()


def _unfolded(training: Training, spec: RunSpec) -> Network:
    """Return the authors' network with the weights of the run's."""
    ours = cast("LinearNetwork", training.network.module)
    backbone = theirs.UnfoldedResNet50()
    backbone.resnet.load_state_dict(ours.backbone.state_dict())
    backbone.v.data = ours.scales.detach().clone()
    return Network(backbone, head_of(training), spec.dropout_rate)


def _weights(training: Training, network: Network) -> tuple[Weights, Weights]:
    """Return v, V and b of both, and the other weights that could have changed in theirs."""
    ours = cast("LinearNetwork", training.network.module)
    backbone = cast("theirs.UnfoldedResNet50", network.featurizer)
    mine = [ours.scales, *ours.head.parameters(), *ours.backbone.parameters()]
    other = [backbone.v, *network.classifier.parameters(), *backbone.resnet.parameters()]
    return mine, other


def _images() -> Tensor:
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
