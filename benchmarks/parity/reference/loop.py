"""The loop of the paper's authors, ``domainbed/scripts/trainv2.py``, in our own words.

Repository: TjuJianyu/verylarge_dropout. As with their ``--outsplit_noaug 1``, no images of an
evaluation are augmented; the evaluation images are passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.parity.reference.training import (
    Ensemble,
    Erm,
    Hyperparameters,
    Network,
    Swa,
    accuracy,
    select,
)

Minibatches = Sequence[tuple[Tensor, Tensor]]
Split = tuple[str, str]
"""A domain, and ``in`` or ``out``."""
Images = Mapping[Split, tuple[Tensor, Tensor]]
Logits = dict[Split, Tensor]


@dataclass(frozen=True)
class Evaluated:
    """The logits of an evaluation after ``updates`` updates, of the three predictors.

    ``networks`` is the number of checkpoints in the ensemble.
    """

    updates: int
    own: Logits
    ensemble: Logits
    averaged: Logits
    networks: int


def train(
    algorithm: Erm, batches: Iterable[Minibatches], splits: Images, hparams: Hyperparameters
) -> list[Evaluated]:
    """Train on batches; return every evaluation."""
    averaged = Swa(algorithm.network, hparams.average_from)
    ensemble = Ensemble(hparams.average_from)
    found = []
    for step, minibatches in enumerate(batches):
        algorithm.network.train()
        algorithm.update(minibatches)
        averaged.update(algorithm.network)
        if step % hparams.checkpoint_every == 0 or step == hparams.steps - 1:
            own = predict(algorithm.network, splits)
            together = dict(ensemble.predict(step, own))
            mean = predict(averaged.network, splits) if step >= hparams.average_from else own
            found.append(Evaluated(step + 1, own, together, mean, ensemble.count))
    return found


@torch.no_grad()
def predict(network: Network, splits: Images) -> Logits:
    """Return the logits of every split, in evaluation mode."""
    network.eval()
    return {name: network(images) for name, (images, _) in splits.items()}


def id_accuracy(logits: Logits, splits: Images, target: str) -> float:
    """Return the mean over the sources of their ``out`` split: ``lib/misc.py``, ``get_score``."""
    found = [
        accuracy(logits[domain, split], splits[domain, split][1])
        for domain, split in splits
        if split == "out" and domain != target
    ]
    return sum(found) / len(found)


def selected(found: Sequence[Evaluated], splits: Images, target: str) -> int:
    """Return the number of updates of the kept network: ``model_best.pkl``."""
    return found[select([id_accuracy(each.own, splits, target) for each in found])].updates
