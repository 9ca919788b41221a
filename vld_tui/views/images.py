"""Warn if the runs of a study used different images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vld_tui.runs.run import Run
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
