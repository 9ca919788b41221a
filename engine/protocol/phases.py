"""The phases of a run: the parts that may take long, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

PhaseName = Literal[
    "finding_images",
    "decoding_images",
    "starting_processes",
    "building_network",
    "computing_features",
    "timing_precisions",
    "timing_memory_formats",
    "measuring_features",
    "caching_features",
    "asking_teacher",
    "fitting_biased_model",
    "training_last_layer",
    "training",
    "evaluating",
    "averaging_weights",
    "refining_last_layer",
    "saving_checkpoint",
    "diagnosing",
]

PHASES: Final[Mapping[str, str]] = {
    "finding_images": "finding images",
    "decoding_images": "decoding images",
    "starting_processes": "starting training processes",
    "building_network": "building the network",
    "computing_features": "features",
    "timing_precisions": "timing precisions",
    "timing_memory_formats": "timing memory formats",
    "measuring_features": "measuring features",
    "caching_features": "features for the last layer",
    "asking_teacher": "predictions of the teacher",
    "fitting_biased_model": "biased model",
    "training_last_layer": "last layer",
    "training": "training",
    "evaluating": "evaluating",
    "averaging_weights": "averaging weights",
    "refining_last_layer": "refining the last layer",
    "saving_checkpoint": "saving checkpoint",
    "diagnosing": "diagnosing",
}
"""What users read for each phase."""

FIRST_RUN_ONLY: Final = ("timing_precisions", "timing_memory_formats")
"""Phases whose result is kept for later runs of the same network here."""


class Phase(msgspec.Struct, frozen=True, gc=False):
    """The phase that a run is in: ``done`` of ``total`` units, or None without a count.

    ``detail`` says which part of it, such as a domain. ``elapsed_s`` is since the phase began,
    ``seconds_left`` the estimate to the phase's end, both at Unix time ``at``.
    """

    name: str
    done: int | None = None
    total: int | None = None
    detail: str = ""
    elapsed_s: float = 0.0
    seconds_left: float | None = None
    at: float = 0.0

    def as_record(self) -> dict[str, Any]:
        """Return the phase as a JSON object, with its words."""
        return msgspec.structs.asdict(self) | {"text": phase_words(self)}


def phase_label(phase: Phase, progress: str = "") -> str:
    """Return a phase as users read it, without its progress or with a text for it."""
    words = PHASES.get(phase.name, phase.name.replace("_", " "))
    if phase.name == "evaluating" and phase.detail:
        words += f" {phase.detail}"
    elif phase.name == "diagnosing" and phase.detail:
        words += f": {phase.detail}"
    return words + progress + (" (first run only)" if phase.name in FIRST_RUN_ONLY else "")


def phase_words(phase: Phase) -> str:
    """Return a phase as users read it, with its progress: ``decoding images 2,100/4,898``."""
    return phase_label(phase, f" {phase.done or 0:,}/{phase.total:,}" if phase.total else "")
