"""Rows on the masks of very large dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.parity.row import Row, difference_text, largest_difference
from engine.evaluate import predict
from engine.execution import Execution
from engine.model import build_network, mask_features, masked_cross_entropy

RATES: Final = (0.5, 0.9, 0.95)
MASKED: Final = (512, 2048)
"""Numbers of images and features that masks are drawn for."""


def masks_by_seed(_folder: Path) -> Row:
    """Compare masks drawn from generators in the same state."""
    features = torch.rand(64, 512, generator=torch.Generator().manual_seed(0)) + 0.1
    ours, theirs = [], []
    with torch.random.fork_rng(devices=[]):
        for seed, rate in enumerate(RATES):
            generator = torch.Generator().manual_seed(seed)
            ours.append(mask_features(features, rate, 1, generator)[0])
            torch.manual_seed(seed)
            theirs.append(nn.Dropout(rate)(features))
    difference = largest_difference(ours, theirs)
    return Row(
        "masked features, one mask",
        "`nn.Dropout` before the last layer (authors, `networks.py`, `Classifier`)",
        "m ⊙ Φ / (1 − λ), from the run's own generator",
        f"64 × 512 features, λ = {', '.join(map(str, RATES))}, both generators in the same state",
        difference_text(difference),
        difference == 0,
    )


def masks_in_distribution(_folder: Path) -> Row:
    """Check how often features are masked, alone and in pairs."""
    worst, scales = 0.0, set()
    for rate in RATES:
        generator = torch.Generator().manual_seed(1)
        masks = mask_features(torch.ones(MASKED), rate, 2, generator)
        kept = (masks != 0).double()
        scales |= {float(value) * (1 - rate) for value in masks.unique() if value}
        worst = max(worst, *_scores(kept, 1 - rate))
    return Row(
        "distribution of masks",
        "each feature of each image independently, kept with probability 1 − λ (`nn.Dropout`)",
        "the same, and K masks of an image differ",
        f"{MASKED[0]} × {MASKED[1]:,} features × 2 masks, λ = {', '.join(map(str, RATES))}: share "
        "kept of each image and each feature, pairs of neighbours, pairs of masks",
        f"largest |z| {worst:.1f}; kept features are multiplied by 1 / (1 − λ)",
        worst < 5 and all(abs(scale - 1) < 1e-6 for scale in scales),
    )


def _scores(kept: Tensor, keep_rate: float) -> list[float]:
    """Return the largest deviations of shares from their expectation, in standard deviations."""
    both = keep_rate**2
    looked_at = (
        (kept, (1,), keep_rate),  # each image's share, of each mask
        (kept, (0,), keep_rate),  # each feature's
        (kept, (0, 1), keep_rate),
        (kept[0] * kept[1], (0, 1), both),
        (kept[0, :, 1:] * kept[0, :, :-1], (0, 1), both),
        (kept[0, 1:] * kept[0, :-1], (0, 1), both),
    )
    found = []
    for values, over, share in looked_at:
        dims = tuple(dim + values.ndim - 2 for dim in over)
        count = values.numel() / values.sum(dim=dims).numel()
        error = (share * (1 - share) / count) ** 0.5
        found.append(float((values.mean(dim=dims) - share).abs().max()) / error)
    return found


def several_masks(_folder: Path) -> Row:
    """Compare the loss of K masks with the mean of K losses."""
    generator = torch.Generator().manual_seed(2)
    head, masks, rate = nn.Linear(256, 7), 8, 0.9
    features = torch.rand(32, 256, generator=generator)
    labels = torch.randint(7, (32,), generator=generator)
    state = generator.get_state()
    ours = masked_cross_entropy(
        head, features, labels, dropout_rate=rate, masks=masks, generator=generator
    )
    generator.set_state(state)
    drawn = mask_features(torch.ones_like(features), rate, masks, generator)
    losses = torch.stack([F.cross_entropy(head(features * mask), labels) for mask in drawn])
    difference = largest_difference([ours], [losses.mean()])
    of_mean_logits = F.cross_entropy(head((features * drawn).mean(dim=0)), labels)
    away = float((of_mean_logits - ours).abs())
    return Row(
        "K masks of a batch (`--masks`)",
        "one mask a step",
        "the mean of the K losses; K = 1 is the paper's",
        f"K = {masks}, λ = {rate}, against {masks} separate losses",
        f"{difference_text(difference)}; the loss of the mean logits is {away:.2f} nats away",
        difference < 1e-6 < away,
    )


def no_masks_at_evaluation(_folder: Path) -> Row:
    """Compare the predictions of an evaluation with the last layer on unmasked features."""
    network = build_network(
        "resnet18", classes=5, weights="none", image_size=64, seed=0, tuning="full"
    )
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(8, dtype=torch.int64)
    execution = Execution(torch.device("cpu"), "fp32", "contiguous")
    network.set_training(freeze_batchnorm=True)
    with torch.no_grad():
        theirs = network.head(network.features(images))
    [(ours, _)] = predict(network, [(images, labels)], execution)
    difference = largest_difference([ours], [theirs])
    return Row(
        "masks in evaluation",
        "none: `nn.Dropout` is off (authors, `lib/misc.py`, `accuracy`)",
        "none; all other noise of a network, such as stochastic depth, is always off",
        "ResNet-18: predictions against the last layer on the features used in training",
        difference_text(difference),
        difference == 0,
    )
