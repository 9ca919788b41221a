"""Cautions about the runs of a study: images that changed, and mixed precisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vld_tui.runs.run import Run
from vld_tui.study.define.definition import Study
from vld_tui.study.results.groups import image_versions
from vld_tui.words.numbers import moment, plural

DIGITS: Final = 12
"""Number of digits of a digest to show."""


def image_cautions(study: str, runs: Iterable[Run]) -> Iterator[str]:
    """Yield a caution for each data set whose images changed between runs of a study."""
    for dataset, versions in image_versions(runs).items():
        older, plainly = versions[:-1], "; ".join(map(_told, versions))
        lists = ", ".join(f"vld ls --where data_digest:{_short(alike)}" for alike in older)
        yield (
            f"the images of {dataset} changed between runs: {plainly}. Their results are not "
            f"comparable. Trash the older runs ({lists}), then vld sweep {study} runs them again."
        )


def _told(alike: Sequence[Run]) -> str:
    first, last = (moment(run.created_at)[:16] for run in (alike[0], alike[-1]))
    when = first if first == last else f"{first} to {last}"
    return f"{plural(len(alike), 'run')} of {when} have {_short(alike)}"


def _short(alike: Sequence[Run]) -> str:
    return alike[0].data_digest[:DIGITS]


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
