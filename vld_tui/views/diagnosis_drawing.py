"""Drawings of diagnoses in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rich.text import Text

from engine.protocol.diagnostics import Diagnosis
from vld_tui.views.legend import Line
from vld_tui.views.plot import NARROWEST
from vld_tui.views.richness import RICHNESS_DRAWN
from vld_tui.views.shift import SHIFT_DRAWN

MOST_CELLS: Final = 100
"""Largest width of a drawing."""
DRAWN: Final[Mapping[str, Callable[[Diagnosis, int], Iterable[Line]]]] = {
    **RICHNESS_DRAWN,
    **SHIFT_DRAWN,
}
"""How diagnoses are drawn, by the name of the diagnostic."""
SHOWN_BY_DRAWING: Final[Mapping[str, str]] = {"distances": "between"}
"""The table that a drawing has every value of, by the name of the diagnostic."""


def diagnosis_drawing(diagnosis: Diagnosis, cells: int) -> Text | None:
    """Return the drawing of a diagnosis in at most ``cells`` cells, if it has curves."""
    draw = DRAWN.get(diagnosis.diagnostic)
    if draw is None or cells < NARROWEST:
        return None
    text = Text(no_wrap=True, overflow="crop")
    for line in draw(diagnosis, min(cells, MOST_CELLS)):
        text.append("\n" if text else "")
        for segment in line:
            text.append(segment.text, segment.style)
    return text or None
