"""What to say where the runs of a study were given different images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vld_tui.runs.run import Run
from vld_tui.study.results.groups import image_versions
from vld_tui.words.numbers import moment, plural

DIGITS: Final = 12
"""Of a digest, enough to tell it from others."""


def image_cautions(study: str, runs: Iterable[Run]) -> Iterator[str]:
    """Yield a caution for each data set whose images changed from run to run of a study."""
    for dataset, versions in image_versions(runs).items():
        older, plainly = versions[:-1], "; ".join(map(_told, versions))
        lists = ", ".join(f"vld ls --where data_digest:{_short(alike)}" for alike in older)
        yield (
            f"the images of {dataset} changed from run to run: {plainly}. Their results do not go "
            f"together. Trash the older runs ({lists}), then vld sweep {study} runs them anew."
        )


def _told(alike: Sequence[Run]) -> str:
    first, last = (moment(run.created_at)[:16] for run in (alike[0], alike[-1]))
    when = first if first == last else f"{first} to {last}"
    return f"{plural(len(alike), 'run')} of {when} have {_short(alike)}"


def _short(alike: Sequence[Run]) -> str:
    return alike[0].data_digest[:DIGITS]
