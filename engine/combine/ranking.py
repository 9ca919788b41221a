"""Parents by ID accuracy, the best first, and the barriers between it and the others."""

from __future__ import annotations

from dataclasses import dataclass

from engine.combine.averaging import blend
from engine.combine.barrier import describe_barrier
from engine.combine.bench import Bench, Validation
from engine.combine.parents import ParentRun
from engine.protocol import ParentMeasured


@dataclass(frozen=True)
class Ranked:
    """A parent and what it reaches on validation images."""

    parent: ParentRun
    validation: Validation


def rank_parents(bench: Bench) -> list[Ranked]:
    """Measure every parent on ID validation images and return them, the best first.

    Parents of equal accuracy stay in the order given.
    """
    measured = []
    for parent in bench.parents:
        validation = bench.validate(parent.weights())
        bench.log.record(ParentMeasured(parent=parent.run_id, id_accuracy=validation.accuracy))
        measured.append(Ranked(parent, validation))
    return sorted(measured, key=lambda each: -each.validation.accuracy)


def measure_barriers(bench: Bench, ranked: list[Ranked]) -> None:
    """Tell what happens half way between the best parent and each of the others."""
    best, *others = ranked
    best_weights = best.parent.weights()
    for other in others:
        half_way = bench.validate(blend(best_weights, other.parent.weights(), 0.5))
        ends = (best.validation, other.validation)
        runs = (best.parent.run_id, other.parent.run_id)
        bench.log.record(describe_barrier(*runs, ends=ends, half_way=half_way))
