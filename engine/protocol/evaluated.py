"""Measures: the numbers that runs have next to accuracy and loss, and those of each evaluation.

A new measure of each evaluation is a line in :data:`EVALUATED` and a function in
``engine/evaluate/measures.py``; one of a finished run belongs to a diagnostic, see
:mod:`engine.protocol.diagnostics`. Both are stored, listed, filtered, drawn and reported without
further code.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

BALANCED: Final = "balanced_accuracy"
"""The measure that is shown wherever accuracy is."""

Unit = Literal["share", "number"]
"""``share``: from 0 to 1, shown as a percentage; ``number``: any number, shown as it is."""


class Measure(msgspec.Struct, frozen=True):
    """A number measured on ID and OOD images in addition to accuracy and loss.

    Attributes:
        name: for scripts.
        label: heading of a column.
        help: what it is, in a sentence.
        higher_is_better: None: neither direction is better.
        is_of_probabilities: it depends on probabilities, not only on the predicted classes.
        unit: how it is shown.
        is_of_target: it has an OOD value only.
    """

    name: str
    label: str
    help: str
    higher_is_better: bool | None
    is_of_probabilities: bool = False
    unit: Unit = "share"
    is_of_target: bool = False

    @property
    def places(self) -> tuple[tuple[int, str], ...]:
        """Return the places of its values in a summary, and their names: ``id``, ``ood``."""
        return ((1, "ood"),) if self.is_of_target else ((0, "id"), (1, "ood"))

    @property
    def direction(self) -> str:
        """Return which values are better, in words; empty if neither are."""
        if self.higher_is_better is None:
            return ""
        return "higher is better" if self.higher_is_better else "lower is better"


EVALUATED: Final[dict[str, Measure]] = {
    measure.name: measure
    for measure in (
        Measure(
            BALANCED,
            "balanced",
            "Accuracy averaged over classes, so that frequent classes do not count more.",
            higher_is_better=True,
        ),
        Measure(
            "calibration_error",
            "ECE",
            "Expected calibration error: mean gap between confidence and accuracy, 15 bins.",
            higher_is_better=False,
            is_of_probabilities=True,
        ),
    )
}
"""The measures of each evaluation by name, in the order in which they are shown."""
