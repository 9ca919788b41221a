"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import torch
from torch import nn

from engine.model import FineTunedNetwork
from engine.protocol import RunSpec, learning_rate_factor


def make_optimizer(
    spec: RunSpec,
    network: FineTunedNetwork,
    feature_rms: float,
    objective: nn.Module | None = None,
) -> torch.optim.Optimizer:
    """Return the optimizer: group 0 is the backbone's trained parameters, group 1 the last layer
    and the trained parameters of the objective.

    ``base_lr`` is each group's peak learning rate.
    """
    head_parameters = list(network.head.parameters())
    in_head = {id(parameter) for parameter in head_parameters}
    backbone_parameters = [
        parameter
        for parameter in network.module.parameters()
        if parameter.requires_grad and id(parameter) not in in_head
    ]
    last_parameters = [*head_parameters, *(objective.parameters() if objective else ())]
    groups = [
        {"params": backbone_parameters, "lr": spec.lr, "base_lr": spec.lr},
        {"params": last_parameters, "lr": 0.0, "base_lr": head_learning_rate(spec, feature_rms)},
    ]
    fused = next(network.module.parameters()).device.type == "cuda"
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(
            groups, betas=(spec.momentum, 0.999), weight_decay=spec.weight_decay, fused=fused
        )
    # Not fused: torch's fused SGD leaves momentum undefined if the scaler skips the first step.
    return torch.optim.SGD(groups, momentum=spec.momentum, weight_decay=spec.weight_decay)


def head_learning_rate(spec: RunSpec, feature_rms: float) -> float:
    """Return the last layer's peak learning rate.

    With ``scale_head_lr``, the last layer learns as if the features had a root mean square of 1:
    weights rW on features Φ/r give the same function, and a gradient step of rate η on rW moves W
    by η/r² times its own gradient (η/r for AdamW, whose steps do not depend on the gradient's
    scale). r differs tenfold between networks.
    """
    lr = spec.lr * spec.head_lr_factor
    if not spec.scale_head_lr:
        return lr
    return lr / feature_rms if spec.optimizer == "adamw" else lr / feature_rms**2


def set_learning_rates(optimizer: torch.optim.Optimizer, spec: RunSpec, step: int) -> None:
    """Set each group's learning rate for update ``step``, counted from 0."""
    factor = learning_rate_factor(spec, step)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
