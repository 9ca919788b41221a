"""Training and evaluation of DomainBed and of the paper's authors, in our own words.

DomainBed: facebookresearch/DomainBed. The authors: TjuJianyu/verylarge_dropout, a fork of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import MultiStepLR

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass(frozen=True)
class Hyperparameters:
    """The authors', ``domainbed/hparams_registry.py``, and the arguments of ``trainv2.py``."""

    lr: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    head_lr_factor: float = 1.0
    milestones: tuple[int, ...] = (5_000, 10_000)
    gamma: float = 0.1
    average_from: int = 300
    steps: int = 10_001
    checkpoint_every: int = 300
    dropout_rate: float = 0.9


class Network(nn.Module):
    """A backbone without its last layer, followed by dropout and a new last layer.

    The authors, ``domainbed/networks.py``: ``ResNet`` (BatchNorm2d is kept in evaluation mode;
    its weights train) and ``Classifier``.
    """

    def __init__(self, backbone: nn.Module, head: nn.Linear, dropout_rate: float) -> None:
        super().__init__()
        self.featurizer = backbone
        self.classifier = nn.Sequential(nn.Dropout(dropout_rate), head)

    def train(self, mode: bool = True) -> Network:
        """Switch the mode of all layers except BatchNorm."""
        super().train(mode)
        for layer in self.featurizer.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classifier(self.featurizer(images))
        return logits


class Erm:
    """The authors, ``domainbed/algorithms.py``, ``ERM``.

    ``loss_dtype``: type that logits are rounded to before the loss; None: no rounding.
    """

    def __init__(
        self, network: Network, hparams: Hyperparameters, loss_dtype: torch.dtype | None = None
    ) -> None:
        self.network = network
        self._loss_dtype = loss_dtype
        groups = [
            {"params": list(network.featurizer.parameters()), "lr": hparams.lr},
            {
                "params": list(network.classifier.parameters()),
                "lr": hparams.lr * hparams.head_lr_factor,
            },
        ]
        self.optimizer = torch.optim.SGD(
            groups, momentum=hparams.momentum, weight_decay=hparams.weight_decay
        )
        self.scheduler = MultiStepLR(self.optimizer, list(hparams.milestones), hparams.gamma)

    def update(self, minibatches: Sequence[tuple[Tensor, Tensor]]) -> float:
        """Take one step on a minibatch of each source; return the loss."""
        labels = torch.cat([each for _, each in minibatches])
        loss = F.cross_entropy(self.logits(torch.cat([each for each, _ in minibatches])), labels)
        self._descend(loss)
        return float(loss)

    def logits(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.network(images)
        return logits if self._loss_dtype is None else logits.to(self._loss_dtype)

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()


class GroupDro(Erm):
    """DomainBed, ``domainbed/algorithms.py``, ``GroupDRO``; ``groupdro_eta`` is 0.01."""

    eta = 1e-2
    weights: Tensor | None = None

    def update(self, minibatches: Sequence[tuple[Tensor, Tensor]]) -> float:
        """Take one step on a minibatch of each source; return the loss.

        DomainBed passes each minibatch through the network separately; here they are passed
        together, so that the masks can be those of another program's batch.
        """
        logits = self.logits(torch.cat([each for each, _ in minibatches]))
        labels = torch.cat([each for _, each in minibatches])
        sizes = [len(each) for _, each in minibatches]
        of_domain = torch.stack(
            [
                F.cross_entropy(*pair)
                for pair in zip(logits.split(sizes), labels.split(sizes), strict=True)
            ]
        )
        if self.weights is None:
            self.weights = torch.ones(len(minibatches))
        self.weights = self.weights * (self.eta * of_domain.detach()).exp()
        self.weights = self.weights / self.weights.sum()
        loss = torch.dot(of_domain, self.weights)
        self._descend(loss)
        return float(loss)


class Swa(Generic[AnyNetwork]):
    """The authors, ``domainbed/algorithms.py``, ``SWA``: a running mean in the weights' precision.

    The weights are copied up to update ``average_from`` + 1, with which the mean starts.
    """

    def __init__(self, network: AnyNetwork, average_from: int) -> None:
        self.network: AnyNetwork = copy.deepcopy(network)
        self._average_from = average_from
        self._updates = 0
        self._averaged = 0

    @torch.no_grad()
    def update(self, network: AnyNetwork) -> None:
        """Add the weights after an update."""
        self._averaged += self._updates > self._average_from
        count = self._averaged
        for mean, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.data = (
                (mean.data * count + weight.data) / (1.0 + count) if count else weight.clone()
            )
        self._updates += 1


def evaluated_updates(hparams: Hyperparameters) -> list[int]:
    """Return the updates after which the authors' ``scripts/trainv2.py`` evaluates.

    Its steps count from 0, and it evaluates after the update of a step.
    """
    last = hparams.steps - 1
    steps = [step for step in range(hparams.steps) if step % hparams.checkpoint_every == 0]
    return [step + 1 for step in dict.fromkeys([*steps, last])]


@dataclass
class Ensemble:
    """The authors, ``scripts/trainv2.py``: the sum of the logits of evaluations, by split.

    Before step ``average_from``, counted from 0, the network's own logits are reported instead.
    """

    average_from: int
    sums: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    count: int = 0

    def predict(
        self, step: int, logits: dict[tuple[str, str], Tensor]
    ) -> dict[tuple[str, str], Tensor]:
        """Add the logits of an evaluation after a step; return the reported ones."""
        if step < self.average_from:
            return logits
        self.count += 1
        for name, each in logits.items():
            self.sums[name] = self.sums[name] + each if name in self.sums else each
        return self.sums


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of images classified correctly: ``domainbed/lib/misc.py``, ``accuracy``."""
    return float((logits.argmax(1) == labels).sum()) / len(labels)


def select(scores: Sequence[float]) -> int:
    """Return which evaluation is kept: ``scripts/trainv2.py``, the first of the best."""
    best, at = -float("inf"), 0
    for number, score in enumerate(scores):
        if score > best:
            best, at = score, number
    return at
