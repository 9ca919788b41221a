"""Warn if the runs of a study used different precisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from vld_tui.runs.run import Run
from vld_tui.study.define.definition import Study
from vld_tui.words.numbers import plural


def precision_cautions(study: Study, runs: Iterable[Run]) -> Iterator[str]:
    """Yield a caution if the precision of training or of evaluations differs between runs.

    A study that compares precisions is not warned about its training.
    """
    known = [run for run in runs if run.precision is not None]
    trained = Counter(run.precision for run in known)
    if len(trained) > 1 and "precision" not in study.compare:
        yield (
            f"the precision of training differs between runs: {_counts(trained)}{_why(known)}. "
            "This alone may change their results. To avoid this: "
            'precision = "fp32" below [fields] of the study (--precision fp32 of vld run).'
        )
    evaluated = Counter(run.evaluated_in for run in known)
    if len(evaluated) > 1:
        lists = ", ".join(
            f"vld ls --where 'tag:{study.name} evaluation_precision:{name}'"
            for name in evaluated
            if name != "fp32"
        )
        yield (
            f"the precision of evaluations differs between runs: {_counts(evaluated)}. New runs "
            f"are evaluated in fp32. Trash the others ({lists}), then vld sweep {study.name} runs "
            "them again."
        )


def _counts(precisions: Counter[str | None]) -> str:
    return ", ".join(f"{plural(runs, 'run')} in {name}" for name, runs in precisions.most_common())


def _why(runs: Sequence[Run]) -> str:
    chosen = any(run.spec.precision == "auto" for run in runs)
    return " (auto chooses the fastest on each machine)" if chosen else ""
