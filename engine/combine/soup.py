"""Soups: the mean of the weights of all parents (uniform) or of those that help (greedy).

Wortsman et al., "Model soups", arXiv 2203.05482; the greedy soup is algorithm 1: a parent is kept
if accuracy rises or stays the same (≥). The authors' code (github.com/mlfoundations/model-soups)
keeps it only if accuracy rises (>), and tries parents of equal accuracy in reverse order; here they
are tried in the given order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from engine.combine.averaging import WeightMean, Weights, blend
from engine.combine.bench import Bench, Validation, describe_barrier
from engine.combine.parents import ParentRun
from engine.protocol import ParentMeasured, ParentTried, RunFinished


@dataclass(frozen=True)
class Ranked:
    """A parent and its validation result."""

    parent: ParentRun
    validation: Validation


def combine_uniformly(bench: Bench) -> RunFinished:
    """Average the parents' weights and evaluate the mean."""
    measure_barriers(bench, rank_parents(bench))
    first, *others = bench.parents
    mean = WeightMean(first.weights())
    for parent in others:
        bench.stop.raise_if_requested()
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
    """Try the parents in order of ID accuracy and evaluate the mean of those that are kept."""
    ranked = rank_parents(bench)
    measure_barriers(bench, ranked)
    mean = WeightMean(ranked[0].parent.weights())
    for tried in try_parents(ranked, mean, lambda weights: bench.validate(weights).accuracy):
        bench.log.record(tried)
    return evaluate_and_save(bench, mean.weights())


def try_parents(
    ranked: Sequence[Ranked], mean: WeightMean, accuracy_of: Callable[[Weights], float]
) -> Iterator[ParentTried]:
    """Add each parent that does not lower accuracy to the mean; yield the result of each trial.

    Args:
        ranked: the best parent, already in the mean, then the others in the order to try them.
        mean: mean of the parents kept so far.
        accuracy_of: returns the ID accuracy of weights, 0 to 1.
    """
    best, *others = ranked
    soup_accuracy = best.validation.accuracy
    for other in others:
        weights = other.parent.weights()
        accuracy = accuracy_of(mean.with_one_more(weights))
        is_kept = accuracy >= soup_accuracy
        if is_kept:
            mean.add(weights)
            soup_accuracy = accuracy
        yield ParentTried(parent=other.parent.run_id, soup_accuracy=accuracy, is_kept=is_kept)


def rank_parents(bench: Bench) -> list[Ranked]:
    """Evaluate every parent on ID validation images and return them, best first.

    Parents of equal accuracy stay in the given order.
    """
    measured = []
    for parent in bench.parents:
        validation = bench.validate(parent.weights())
        bench.log.record(ParentMeasured(parent=parent.run_id, id_accuracy=validation.accuracy))
        measured.append(Ranked(parent, validation))
    return sorted(measured, key=lambda each: -each.validation.accuracy)


def measure_barriers(bench: Bench, ranked: list[Ranked]) -> None:
    """Record the barriers between the best parent and each of the others."""
    best, *others = ranked
    best_weights = best.parent.weights()
    for other in others:
        half_way = bench.validate(blend(best_weights, other.parent.weights(), 0.5))
        ends = (best.validation, other.validation)
        runs = (best.parent.run_id, other.parent.run_id)
        bench.log.record(describe_barrier(*runs, ends=ends, half_way=half_way))
