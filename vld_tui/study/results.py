"""What came of a study so far: OOD accuracies by what is compared and by target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vld_tui.statistics import Estimate
from vld_tui.store.runs import Run
from vld_tui.study.groups import RunGroup
from vld_tui.study.standing import Standing


@dataclass(frozen=True)
class Result:
    """What the finished runs of one target reached, with the same values of what is compared.

    ``ood_accuracy`` is the mean over seeds of all of them, whatever is chosen among; None before
    the first is finished. ``runs`` are finished, of ``expected``.
    """

    dataset: str
    target: str | None
    values: tuple[Any, ...]
    ood_accuracy: Estimate | None
    runs: int
    expected: int


def results_of(standing: Standing) -> Iterator[Result]:
    """Yield the results in the order of the study; runs with a source held out do not count."""
    study = standing.study
    found: dict[tuple[str, str | None, tuple[Any, ...]], list[Run | None]] = {}
    for spec, run in zip(study.specs, standing.runs, strict=True):
        if spec.held_out_source is None:
            values = tuple(getattr(spec, name) for name in study.compare)
            found.setdefault((spec.dataset, spec.target, values), []).append(run)
    for (dataset, target, values), runs in found.items():
        finished = [run for run in runs if run is not None and run.status == "finished"]
        accuracy = RunGroup(tuple(finished)).estimate(lambda run: run.ood_accuracy)
        yield Result(dataset, target, values, accuracy, len(finished), len(runs))
