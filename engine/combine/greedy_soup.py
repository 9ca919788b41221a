"""The greedy soup: a parent is in the mean only if ID accuracy does not fall with it.

Wortsman et al., "Model soups", arXiv 2203.05482, algorithm 1: a parent is kept when accuracy rises
or stays the same (≥). The authors' code (github.com/mlfoundations/model-soups) keeps it only when
accuracy rises (>), and tries parents of equal accuracy in reverse order. Here they are tried in the
order given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine.combine.averaging import WeightMean, Weights
from engine.combine.bench import Bench
from engine.combine.ranking import Ranked, measure_barriers, rank_parents
from engine.combine.soup import serve
from engine.protocol import ParentTried, RunFinished


def combine(bench: Bench) -> RunFinished:
    """Try the parents in turn, the best first, and evaluate the mean of those that are kept."""
    ranked = rank_parents(bench)
    measure_barriers(bench, ranked)
    mean = WeightMean(ranked[0].parent.weights())
    for tried in try_parents(ranked, mean, lambda weights: bench.validate(weights).accuracy):
        bench.log.record(tried)
    return serve(bench, mean.weights())


def try_parents(
    ranked: Sequence[Ranked], mean: WeightMean, accuracy_of: Callable[[Weights], float]
) -> Iterator[ParentTried]:
    """Add each parent that does not lower accuracy to a mean, and yield what was tried.

    Args:
        ranked: the best parent, which the mean holds, then the others in the order to try them.
        mean: of the parents kept so far.
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
