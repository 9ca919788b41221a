"""The uniform soup: the mean of the weights of all parents.

Wortsman et al., "Model soups", arXiv 2203.05482.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

from engine.combine.averaging import WeightMean
from engine.combine.bench import Bench
from engine.combine.ranking import measure_barriers, rank_parents
from engine.protocol import RunFinished


def combine(bench: Bench) -> RunFinished:
    """Average the parents' weights, one at a time, and evaluate the mean."""
    measure_barriers(bench, rank_parents(bench))
    first, *others = bench.parents
    mean = WeightMean(first.weights())
    for parent in others:
        bench.stop.raise_if_requested()
        mean.add(parent.weights())
    return serve(bench, mean.weights())


def serve(bench: Bench, weights: Mapping[str, Tensor]) -> RunFinished:
    """Evaluate and save averaged weights, and return the event that closes the run."""
    began = time.perf_counter()
    step = bench.combination.steps
    evaluation = bench.evaluate(bench.predictor(weights))
    bench.tell(step, evaluation, began, is_best=True)
    bench.save(step, evaluation, weights)
    return bench.finish(step, evaluation)
