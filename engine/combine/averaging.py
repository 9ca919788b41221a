"""Averages of networks: soups (of weights, uniform or greedy) and the ensemble (of logits).

Soups: Wortsman et al., "Model soups", arXiv 2203.05482; the greedy soup is algorithm 1: a parent is
kept if accuracy (or the measure of ``select_on``) rises or stays the same (≥). The authors' code
(github.com/mlfoundations/model-soups) keeps it only if accuracy rises (>), and tries parents of
equal accuracy in reverse order; here they are tried in the given order.

Means of weights are computed in double precision. Floating-point buffers, such as BatchNorm
statistics, are averaged like weights; integer buffers, such as BatchNorm's batch count, are copied
from the first network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.combine.bench import Bench, Validation, describe_barrier
from engine.combine.parents import ParentRun
from engine.data import DomainData
from engine.data.load import Indices
from engine.model.interpolation import blend
from engine.protocol import ParentMeasured, ParentTried, RunFinished
from engine.protocol.selection import is_better, score_of

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Ranked:
    """A parent and its validation result."""

    parent: ParentRun
    validation: Validation


def combine_uniformly(bench: Bench) -> RunFinished:
    """Average the parents' weights and evaluate the mean."""
    measure_barriers(bench, rank_parents(bench))
    first, *others = bench.parents
    averaging = bench.phases.begin("averaging_weights", len(bench.parents))
    mean = WeightMean(first.weights())
    for parent in others:
        bench.stop.raise_if_requested()
        averaging.advance()
        mean.add(parent.weights())
    return evaluate_and_save(bench, mean.weights())


def evaluate_and_save(bench: Bench, weights: Mapping[str, Tensor]) -> RunFinished:
    """Evaluate and save averaged weights, and return the terminal event."""
    began = time.perf_counter()
    step = bench.combination.steps
    evaluation = bench.evaluate(bench.predictor(weights))
    bench.record(step, evaluation, began, is_best=True)
    bench.save(step, evaluation, weights)
    return bench.finish(step, evaluation)


def combine_greedily(bench: Bench) -> RunFinished:
    """Try the parents, best first, and evaluate the mean of those that are kept."""
    ranked = rank_parents(bench)
    measure_barriers(bench, ranked)
    mean = WeightMean(ranked[0].parent.weights())
    for tried in try_parents(ranked, mean, bench.validate):
        bench.log.record(tried)
    return evaluate_and_save(bench, mean.weights())


def try_parents(
    ranked: Sequence[Ranked], mean: WeightMean, validate: Callable[[Weights], Validation]
) -> Iterator[ParentTried]:
    """Add each parent that does not lower the score to the mean; yield the result of each trial.

    Args:
        ranked: the best parent, already in the mean, then the others in the order to try them.
        mean: mean of the parents kept so far.
        validate: evaluates weights on ID validation.
    """
    best, *others = ranked
    soup = best.validation
    for other in others:
        weights = other.parent.weights()
        found = validate(mean.with_one_more(weights))
        is_kept = not is_better(soup, found)
        if is_kept:
            mean.add(weights)
            soup = found
        yield ParentTried(
            parent=other.parent.run_id, is_kept=is_kept, soup_accuracy=found.id_accuracy,
            selection_score=found.selection_score,
        )  # fmt: skip


def rank_parents(bench: Bench) -> list[Ranked]:
    """Evaluate every parent on ID validation images and return them, best first.

    Parents of equal score stay in the given order.
    """
    measured = []
    for parent in bench.parents:
        validation = bench.validate(parent.weights())
        bench.log.record(
            ParentMeasured(
                parent=parent.run_id, id_accuracy=validation.id_accuracy,
                selection_score=validation.selection_score,
            )
        )  # fmt: skip
        measured.append(Ranked(parent, validation))
    return sorted(measured, key=lambda each: -score_of(each.validation))


def measure_barriers(bench: Bench, ranked: list[Ranked]) -> None:
    """Record the barriers between the best parent and each of the others."""
    best, *others = ranked
    best_weights = best.parent.weights()
    for other in others:
        half_way = bench.validate(blend(best_weights, other.parent.weights(), 0.5))
        ends = (best.validation, other.validation)
        runs = (best.parent.run_id, other.parent.run_id)
        bench.log.record(describe_barrier(*runs, ends=ends, half_way=half_way))


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


class WeightMean:
    """The running mean of networks; only the sum is kept in memory."""

    def __init__(self, weights: Weights) -> None:
        self._first = dict(weights)
        self._sum = {name: tensor.double() for name, tensor in _averaged(weights).items()}
        self.count = 1

    def add(self, weights: Weights) -> None:
        """Add a network."""
        for name, tensor in _averaged(weights).items():
            self._sum[name] += tensor.double()
        self.count += 1

    def weights(self) -> dict[str, Tensor]:
        """Return the mean, in the precision of the first network."""
        return self._divided(self._sum, self.count)

    def with_one_more(self, weights: Weights) -> dict[str, Tensor]:
        """Return the mean as it would be with one more network."""
        total = {name: each + weights[name].double() for name, each in self._sum.items()}
        return self._divided(total, self.count + 1)

    def _divided(self, total: Weights, count: int) -> dict[str, Tensor]:
        return {
            name: (total[name] / count).to(tensor.dtype) if name in total else tensor
            for name, tensor in self._first.items()
        }


def _averaged(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
