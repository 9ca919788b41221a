"""Captions of the figures: the numbers of runs and seeds behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vld_tui.report.accuracy import seeds_text
from vld_tui.runs.statistics import FEWEST, Estimate
from vld_tui.study.results.cloud import Cloud
from vld_tui.study.results.outcomes import Outcome, grouped
from vld_tui.words.numbers import plural

MOST_DRAWN: Final = 5000
"""Maximum drawn points of a cloud; the outline is of all points."""


def runs_behind(of_dataset: Mapping[str, Sequence[Cloud]]) -> str:
    """Return the numbers of runs and seeds per setting of each data set, as text."""
    return _told(of_dataset, lambda clouds: f"{_runs(clouds)}.")


def points_behind(of_dataset: Mapping[str, Sequence[Cloud]]) -> str:
    """Return the numbers of runs and points of each cloud, as text."""
    return _told(of_dataset, lambda clouds: f"{_runs(clouds)} give {_points(clouds)}.")


def seeds_behind(results: Sequence[Outcome]) -> str:
    """Return the number of seeds per cell, as text."""
    alike = grouped(results, lambda each: (each.dataset, each.target, each.setting, each.cell))
    counts = [len({each.seed for each in found}) for found in alike.values()]
    return _seeds(min(counts), max(counts))


def bars(estimates: Sequence[Estimate | None]) -> str:
    """Describe the error bars of a figure, and where they are missing."""
    known = [each for each in estimates if each is not None]
    has_two = any(each.has_too_few for each in known)
    if not any(each.interval is not None for each in known):
        if has_two:
            return f"no error bars: an interval needs {FEWEST} seeds, not 2"
        return f"no error bars: an interval needs {FEWEST} seeds that have every cell"
    parts = (
        "bars: 95% intervals over seeds on these targets (Student's t)",
        "long bars are cut at the axes",
        f"no bar with only 2 seeds, since an interval needs {FEWEST}",
    )
    return "; ".join(parts if has_two else parts[:2])


def _told(of_dataset: Mapping[str, Sequence[Cloud]], tell: Callable[[Sequence[Cloud]], str]) -> str:
    """Return the text of each data set, merging equal ones."""
    alike: dict[str, list[str]] = {}
    for dataset, clouds in of_dataset.items():
        alike.setdefault(tell(clouds), []).append(dataset)
    return " ".join(f"{', '.join(names)}: {text}" for text, names in alike.items())


def _runs(clouds: Sequence[Cloud]) -> str:
    one = max(clouds, key=lambda cloud: cloud.ways)
    runs = [cloud.runs for cloud in clouds]
    fewest = min(cloud.fewest_seeds for cloud in clouds)
    most = max(cloud.most_seeds for cloud in clouds)
    is_alike = len({(frozenset(cloud.targets), cloud.ways) for cloud in clouds}) == 1
    targets = ("" if is_alike else "up to ") + plural(len(one.targets), "target")
    return (
        f"{seeds_text(min(runs), max(runs))} runs per setting "
        f"({targets}, {plural(max(one.cells), 'cell')}, {_seeds(fewest, most)})"
    )


def _points(clouds: Sequence[Cloud]) -> str:
    one = max(clouds, key=lambda cloud: cloud.ways)
    text = plural(one.ways, "point")
    if one.is_sampled:
        return f"{text}; a random sample of {len(one.ids):,} is plotted"
    return f"{text}; {MOST_DRAWN:,} are plotted" if one.ways > MOST_DRAWN else text


def _seeds(fewest: int, most: int) -> str:
    return f"{seeds_text(fewest, most)} seed{'' if most == 1 else 's'}"
