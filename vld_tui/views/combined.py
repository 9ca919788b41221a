"""Describe combining runs: their parents and findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from engine.protocol import (
    METHODS,
    AnglesMeasured,
    BarrierMeasured,
    Cautioned,
    Combination,
    CombinationSpec,
    Event,
    LastLayer,
    ParentMeasured,
    ParentTried,
    RunTask,
    spec_of,
)
from engine.protocol.intervals import uncertain_selection
from engine.protocol.selection import criterion_of
from vld_tui.runs.progress import Progress
from vld_tui.words.numbers import percent, plural, signed, signed_points
from vld_tui.words.palette import COLLAPSED_SIGN
from vld_tui.words.text import plain_text

MIXED: Final = "mixed"
"""Shown instead of a value in which the parents differ."""
METHOD_FROM: Final[Mapping[LastLayer, str]] = {
    "start_of_run": "WiSE-FT",
    "linear_probe": "interpolation from a linear probe",
}
"""Names of an interpolation from the pre-trained network, by its last layer."""
_LAST_LAYERS: Final[Mapping[LastLayer, str]] = {
    "start_of_run": "B before its first step",
    "linear_probe": "linear probe",
}
MOST_PARENTS: Final = 6
"""Maximum number of names in a line; the others are counted."""
MOST_FINDINGS: Final = 10
"""Maximum number of lines of one kind."""
_TAKEN_AT: Final = {
    "best.safetensors": "of the selected steps (--at best)",
    "last.safetensors": "of the last steps (--at last)",
}


def has_choice(task: RunTask) -> bool:
    """Return whether a run evaluates several networks, of which one is selected."""
    return not isinstance(task, CombinationSpec) or task.combination.method == "interpolation"


def step_label(step: int, task: RunTask) -> str:
    """Return the position of an evaluation as text: its step, or its share of the way."""
    if not isinstance(task, CombinationSpec):
        return f"step {step:,}"
    if task.combination.method == "interpolation":
        return f"{step:,}% of B"
    return f"{plural(step, 'network')}{_tried(task.combination)}"


def progress_label(step: int, task: RunTask) -> str:
    """Return a run's progress as text."""
    steps = spec_of(task).steps
    if not isinstance(task, CombinationSpec):
        return f"{step:,} of {steps:,}"
    if task.combination.method == "interpolation":
        return f"{step:,}% of the way from A to B"
    return f"{step:,} of {plural(steps, 'network')}{_tried(task.combination)}"


def position_label(step: int, task: RunTask, *, of_all: bool = False) -> str:
    """Return where a run is or was, to follow "at" or "after"; ``of_all``: with all its steps."""
    if isinstance(task, CombinationSpec):
        return progress_label(step, task)
    return f"step {progress_label(step, task) if of_all else f'{step:,}'}"


def _tried(combination: Combination) -> str:
    """Return a word for greedy combinations, which may leave networks out."""
    return " tried" if combination.method == "greedy_soup" else ""


def combination_rows(combination: Combination) -> list[tuple[str, str]]:
    """Return the parents and the method, as pairs of a label and a line of plain text."""
    rows = [
        ("method", f"{method_name(combination)}: {METHODS[combination.method]}"),
        ("networks", networks(combination)),
    ]
    files = {PurePath(parent.file).name for parent in combination.parents if parent.file}
    taken = " · ".join(words for name, words in _TAKEN_AT.items() if name in files)
    return [*rows, ("weights", taken)] if taken else rows


def method_name(combination: Combination) -> str:
    """Return the name of a method."""
    if combination.starts_at is not None:
        return METHOD_FROM[combination.starts_at]
    return combination.method.replace("_", " ")


def networks(combination: Combination) -> str:
    """Return the names of the parents."""
    labels = [plain_text(parent.label) for parent in combination.parents]
    if combination.method == "interpolation":
        first, second = labels
        if combination.starts_at is not None:
            first += f" ({_LAST_LAYERS[combination.starts_at]})"
        return f"A {first} → B {second} · {combination.points} points"
    more = len(labels) - MOST_PARENTS
    listed = " · ".join(labels[:MOST_PARENTS]) + (f" and {more} more" if more > 0 else "")
    return f"{len(labels)} · {listed}"


def combining_lines(task: RunTask, event: Event) -> list[str]:
    """Return the lines of an event of combining; other events have none."""
    match event:
        case Cautioned(message=message):
            return [f"caution: {plain_text(message)}"]
        case ParentMeasured():
            return [f"parent {parent_line(task, event)}"]
        case ParentTried():
            return [tried_line(task, event)]
        case BarrierMeasured():
            return [barrier_line(event)]
        case AnglesMeasured():
            return [f"angle {angle_line(event)}"]
    return []


def parent_line(task: RunTask, event: ParentMeasured) -> str:
    """Return the accuracy of a single parent as text."""
    return f"{plain_text(event.parent)}  {_measured_id(task, event.id_accuracy, event)}"


def tried_line(task: RunTask, event: ParentTried) -> str:
    """Return whether a network was kept in a greedy soup, as text."""
    verdict = "kept" if event.is_kept else "left out"
    accuracy = _measured_id(task, event.soup_accuracy, event)
    return f"with {plain_text(event.parent)}  {accuracy} · {verdict}"


def _measured_id(task: RunTask, accuracy: float, event: ParentMeasured | ParentTried) -> str:
    spec = spec_of(task)
    note = " augmented" if spec.augment_validation else ""
    told = f"ID {percent(accuracy)}{note}"
    if event.selection_score is not None:  # decides instead
        told += f" · {criterion_of(spec).label} {percent(event.selection_score)}"
    return told


def barrier_line(event: BarrierMeasured) -> str:
    """Return what was measured halfway between two networks, as text."""
    ends = f"{plain_text(event.first)} and {plain_text(event.second)}"
    found = _half_way(event)
    if event.is_barrier:
        return (
            f"{COLLAPSED_SIGN} loss barrier between {ends}: halfway, {found}. "
            "Their weights do not average well."
        )
    return f"halfway between {ends}: {found}"


def angle_line(event: AnglesMeasured) -> str:
    """Return how far apart the runs moved, and the result of Model Stock, as text."""
    if event.mean_angle_deg is None or event.mean_share is None:
        return "none: no tensor moved in two runs"
    tensors = plural(event.tensors, "tensor")
    return (
        f"{event.mean_angle_deg:.1f}° between the runs' changes · t {event.mean_share:.3f} "
        f"(means over {tensors})"
    )


def cautions(task: RunTask, progress: Progress) -> list[str]:
    """Return the cautions about a run's numbers.

    Whether few images select its step is computed here: runs of earlier versions stored no caution
    about it, or one in other words.
    """
    lines = [caution.message for caution in progress.cautions]
    if progress.data is None:
        return lines
    few = uncertain_selection(
        {each.name: each.out_images for each in progress.data.sources}, spec_of(task).select_on
    )
    if not few:
        return lines
    images = few.partition(":")[0]
    return [few, *(line for line in lines if line.partition(":")[0] != images)]


def notices(task: RunTask, progress: Progress) -> list[str]:
    """Return warnings about a run's numbers, one per line."""
    lines = [plain_text(line) for line in cautions(task, progress)]
    high = [each for each in progress.barriers if each.is_barrier]
    if len(high) == 1:
        return [*lines, barrier_line(high[0])]
    if high:
        lines.append(
            f"{COLLAPSED_SIGN} loss barriers between {plain_text(high[0].first)} and {len(high)} "
            f"of the {len(progress.barriers)} others: halfway, ID is up to "
            f"{100 * max(each.accuracy_barrier for each in high):.1f} points below the mean of "
            "the two. Their weights do not average well."
        )
    return lines


def findings(task: RunTask, progress: Progress) -> list[tuple[str, str]]:
    """Return the measurements between parents, as pairs of a label and a line."""
    rows = _rows("parent", [parent_line(task, each) for each in progress.parents])
    rows += _rows("tried", [tried_line(task, each) for each in progress.tried])
    half_way = [
        f"{plain_text(each.first)} and {plain_text(each.second)}: {_half_way(each)}"
        for each in progress.barriers
    ]
    paths = [line for each in progress.barriers if (line := _path_barrier(each))]
    angles = [angle_line(progress.angles)] if progress.angles is not None else []
    return rows + _rows("halfway", half_way) + _rows("path", paths) + _rows("angle", angles)


def _rows(label: str, lines: list[str]) -> list[tuple[str, str]]:
    """Label lines; of very many, the first ones and the number of others."""
    more = len(lines) - MOST_FINDINGS
    shown = lines[:MOST_FINDINGS] + ([f"and {more} more"] if more > 0 else [])
    return [(label, line) for line in shown]


def _half_way(event: BarrierMeasured) -> str:
    return (
        f"ID {signed_points(-event.accuracy_barrier)} points, loss {signed(event.loss_barrier, 3)} "
        "against the mean of the two"
    )


def _path_barrier(event: BarrierMeasured) -> str:
    """Return the largest barrier on the whole path, if it was evaluated."""
    if event.path_accuracy_barrier is None:
        return ""
    loss = event.path_loss_barrier
    return (
        f"{plain_text(event.first)} and {plain_text(event.second)}: at most "
        f"{100 * event.path_accuracy_barrier:.1f} points of ID below the line between the two, "
        f"loss {'not finite' if loss is None else f'{loss:.3f} above'}"
    )
