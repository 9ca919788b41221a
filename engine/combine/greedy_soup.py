"""The greedy soup: a parent is in the mean only if ID accuracy does not fall with it.

Wortsman et al., "Model soups", arXiv 2203.05482, algorithm 1: a parent is kept when accuracy rises
or stays the same (≥). The authors' code (github.com/mlfoundations/model-soups) keeps it only when
accuracy rises (>), and tries parents of equal accuracy in reverse order. Here they are tried in the
order given.
"""

from __future__ import annotations

from engine.combine.averaging import WeightMean
from engine.combine.bench import Bench
from engine.combine.ranking import measure_barriers, rank_parents
from engine.combine.soup import serve
from engine.protocol import ParentTried, RunFinished


def combine(bench: Bench) -> RunFinished:
    """Try the parents in turn, the best first, and evaluate the mean of those that are kept."""
    ranked = rank_parents(bench)
    measure_barriers(bench, ranked)
    best, *others = ranked
    mean = WeightMean(best.parent.weights())
    soup_accuracy = best.validation.accuracy
    for other in others:
        weights = other.parent.weights()
        tried = bench.validate(mean.with_one_more(weights))
        is_kept = tried.accuracy >= soup_accuracy
        bench.log.record(
            ParentTried(parent=other.parent.run_id, soup_accuracy=tried.accuracy, is_kept=is_kept)
        )
        if is_kept:
            mean.add(weights)
            soup_accuracy = tried.accuracy
    return serve(bench, mean.weights())
