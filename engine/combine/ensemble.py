"""The ensemble: the mean of the parents' logits."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from engine.combine.bench import Bench
from engine.data import DomainData
from engine.data.splits import Indices
from engine.protocol import RunFinished


def combine_logits(bench: Bench) -> RunFinished:
    """Evaluate the parents' mean logits; there are no weights to save."""
    began = time.perf_counter()
    step = bench.combination.steps
    evaluation = bench.evaluate(lambda *images: _mean_logits(bench, *images))
    bench.record(step, evaluation, began, is_best=True)
    return bench.finish(step, evaluation)


def _mean_logits(
    bench: Bench, domain: DomainData, split: str, indices: Indices
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the mean logits (n, C) of a split and its labels; one parent is in memory at a time.

    Logits are summed in float32, in the order of the parents.
    """
    total = torch.zeros(len(indices), len(bench.data.classes))
    for parent in bench.parents:
        predictor = bench.predictor(parent.weights())
        total += torch.cat([logits.cpu() for logits, _ in predictor(domain, split, indices)])
    yield total / len(bench.parents), domain.labels[indices]
