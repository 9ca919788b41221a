"""Abstention: one more class, trained on outliers, whose probability is an OOD score.

Thulasidasan et al., "An Effective Baseline for Robustness to Distributional Shift", arXiv
2105.07107: cross-entropy over the C classes and the class "abstain", which is the label of every
outlier. The paper adds the expected loss of labelled images and that of outliers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LogOdds(NamedTuple):
    """log(p / (1 − p)) of the probability p of abstaining, under each of K masks.

    Attributes:
        images: of the labelled images, (K, B).
        outliers: (K, O).
    """

    images: Tensor
    outliers: Tensor


class JoinedLayer(NamedTuple):
    """A last layer with the row of abstention: weight (C + 1, D) and bias (C + 1,)."""

    weight: Tensor
    bias: Tensor


class Abstention(nn.Module):
    """The row of the class "abstain", which the network's last layer lacks; it starts from zero.

    The last layer keeps its C classes. With z their logits, a the logit of abstention and the
    log-odds s = a − log Σ exp(z), cross-entropy over the C + 1 classes is −log softmax(z)_y +
    log(1 + exp(s)) for an image of class y, and log(1 + exp(−s)) for an outlier. So the class adds
    a term to any loss of the C classes.
    """

    def __init__(self, features: int) -> None:
        """``features``: D, width of the penultimate representation."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, features))
        self.bias = nn.Parameter(torch.zeros(1))

    def joined_to(self, head: nn.Linear) -> JoinedLayer:
        """Return the last layer with this row: (…, D) to (…, C + 1); the last class abstains."""
        bias: Tensor | None = head.bias
        if bias is None:
            bias = self.bias.new_zeros(head.out_features)
        return JoinedLayer(torch.cat([head.weight, self.weight]), torch.cat([bias, self.bias]))


def split_logits(logits: Tensor, images: int) -> tuple[Tensor, LogOdds]:
    """Return the logits of the classes of labelled images, and the log-odds of abstaining.

    Args:
        logits: of B labelled images, then of outliers, (K, B + O, C + 1).
        images: B.

    Returns:
        (K, B, C), and the log-odds of all images.
    """
    classes, abstain = logits[..., :-1], logits[..., -1]
    log_odds = abstain - classes.logsumexp(dim=-1)
    return classes[:, :images], LogOdds(log_odds[:, :images], log_odds[:, images:])


def abstaining_loss(log_odds: Tensor) -> Tensor:
    """Return −log p of the probability p of abstaining, (…,), in nats: the loss of an outlier."""
    return F.softplus(-log_odds)


def answering_loss(log_odds: Tensor) -> Tensor:
    """Return −log(1 − p), (…,), in nats: what the class adds to the loss of a labelled image."""
    return F.softplus(log_odds)
