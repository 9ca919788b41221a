"""What a live run is doing, as text. Imports no Rich, so that listing runs is fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.protocol.phases import Phase, phase_words
from vld_tui.runs.run import Run
from vld_tui.words.numbers import duration, rate
from vld_tui.words.text import plain_text

TRAINING: Final = "training"
STARTING: Final = "starting the engine"
PREPARING: Final = "preparing"
STOPPING: Final = "stopping"
"""The name of the phase of a run that was asked to stop."""
MOST_COUNTED: Final = 99
"""Totals up to which a brief phase shows numbers, not percent."""
_BRIEF: Final[Mapping[str, str]] = {
    "finding_images": "images",
    "decoding_images": "decoding",
    "starting_processes": "starting",
    "building_network": "network",
    "computing_features": "features",
    "timing_precisions": "timing",
    "timing_memory_formats": "timing",
    "measuring_features": "measuring",
    "caching_features": "features",
    "asking_teacher": "teacher",
    "fitting_biased_model": "biased",
    "training_last_layer": "last layer",
    "averaging_weights": "averaging",
    "saving_checkpoint": "saving",
    "diagnosing": "diagnosing",
}
"""One word for each phase, for a table."""


def phase_line(phase: Phase) -> str:
    """Return a phase with its progress, and the time it is still expected to take."""
    words = plain_text(phase_words(phase))
    if phase.name == TRAINING or phase.seconds_left is None or phase.done == phase.total:
        return words
    return f"{words} · {duration(phase.seconds_left)} left"


def brief_phase(phase: Phase) -> str:
    """Return a phase in at most 15 characters, such as ``timing 3/4`` or ``decoding 43%``."""
    word = _BRIEF.get(phase.name, phase.name.partition("_")[0])[:10]
    if not phase.total:
        return word
    done = phase.done or 0
    if phase.total <= MOST_COUNTED:
        return f"{word} {done}/{phase.total}"
    return f"{word} {100 * done // phase.total}%"


def activity(run: Run) -> str:
    """Return what a live run is doing, with its progress; empty if it is not live."""
    if not run.is_live:
        return ""
    if run.status == "starting":
        return STARTING
    if run.phase is not None and run.phase.name == STOPPING:
        return "stopping after the current step"
    if run.phase is not None and run.phase.name != TRAINING:
        return phase_line(run.phase)
    if run.phase is None and run.step == 0:
        return PREPARING
    parts = [f"{TRAINING} {run.step:,}/{run.steps:,}" if run.has_spec else TRAINING]
    if run.images_per_s is not None:
        parts.append(f"{rate(run.images_per_s)} images/s")
    if run.seconds_left is not None:
        parts.append(f"{duration(run.seconds_left)} left")
    return " · ".join(parts)


def is_diagnosing(run: Run) -> bool:
    """Return whether a run computes its diagnostics."""
    return run.is_live and run.phase is not None and run.phase.name == "diagnosing"


def brief_activity(run: Run) -> str:
    """Return what a run is doing instead of taking steps, in one word with its progress.

    Empty while it takes steps, or if it is not live.
    """
    if not run.is_live:
        return ""
    if run.status == "starting":
        return "starting"
    if run.phase is not None and run.phase.name != TRAINING:
        return brief_phase(run.phase)
    return PREPARING if run.step == 0 and run.phase is None else ""
