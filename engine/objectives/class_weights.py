"""Weights of classes: images of rare classes count more.

The loss of an image is multiplied by a weight ∝ count^(−power) of its class. Shi et al., "ReFine:
Boosting Time Series Prediction of Extreme Events by Reweighting and Fine-tuning", arXiv 2409.14232
(JimengShi/ReFine), learn the weights of rare examples by meta-learning; these are fixed.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from engine.objectives.objective import Batch, Task, Weighting
from engine.protocol import RunSpec


class ClassWeights(Weighting):
    """The weight of each image's class, see :func:`class_weights`.

    It applies to any loss, and before other weightings.
    """

    fixed: ClassVar[tuple[str, ...]] = ("of_class",)

    def __init__(self, spec: RunSpec, task: Task) -> None:
        super().__init__(spec, task)
        weights = class_weights(torch.cat(task.labels), spec.class_weight_power)
        self.register_buffer("of_class", weights, persistent=False)  # it follows from the labels
        self.of_class: Tensor

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:
        """Return the weight of each image, (B,)."""
        return self.of_class[batch.labels].to(losses.dtype)


def class_weights(labels: Tensor, power: float) -> Tensor:
    """Return the weight count^(−power) of each class, divided by the images' mean weight.

    Args:
        labels: classes of the training images of all sources, (n,) int64.
        power: 0 gives weights of 1; 1 gives every class the same total weight.

    Returns:
        Weights of the classes up to the last that has images, float32, on the labels' device.
    """
    on_cpu = labels.cpu()  # mps has no float64
    weights = torch.bincount(on_cpu).clamp_min(1).double() ** -power
    return (weights / weights[on_cpu].mean()).float().to(labels.device)
