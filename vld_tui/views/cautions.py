"""Cautions about results of studies and networks, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vld_tui.runs.run import Run
from vld_tui.study.results.disagreement import Disagreement, disagreements
from vld_tui.study.results.outcomes import Outcome, grouped
from vld_tui.words.numbers import plural, signed_points

MOST_SETTINGS: Final = 3
"""Maximum number of settings to name for a target."""


def measure_cautions(results: Sequence[Outcome]) -> Iterator[str]:
    """Yield a caution for each target on which accuracy and balanced accuracy disagree."""
    found = disagreements(results)
    for (dataset, target), alike in grouped(
        found, lambda each: (each.dataset, each.target)
    ).items():
        told = [_changes(each) for each in alike[:MOST_SETTINGS]]
        if len(alike) > len(told):
            told.append(f"and {plural(len(alike) - len(told), 'other pair')}")
        yield (
            f"accuracy and balanced accuracy disagree on {dataset} → {target}: OOD changes by "
            f"{'; '.join(told)}. Accuracy counts frequent classes more."
        )


def network_cautions(run: Run) -> Iterator[str]:
    """Yield why what is measured of a run's network at the selected step may say little."""
    step = "" if run.selected_step is None else f" at step {run.selected_step:,}"
    if run.status != "finished":
        yield f"{run.label} is {run.status}; this is its network{step}."
    if run.collapsed:
        yield (
            f"{run.label} collapsed: it predicts almost only one class, so measurements of its "
            f"network{step} say little about the images."
        )


def _changes(each: Disagreement) -> str:
    return (
        f"{signed_points(each.accuracy)} and {signed_points(each.balanced)} points with "
        f"{each.setting.label} instead of {each.baseline.label} ({plural(each.seeds, 'seed')})"
    )
