"""A line of the evaluations whose predictions are stored, with the one that is shown."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from rich.text import Text

from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import width

DOT: Final = "·"
SELECTED: Final = "◆"
SHOWN: Final = "▲"
MOST_CELLS: Final = 60
"""Maximum width of the steps."""
ONLY_SELECTED: Final = (
    "Only the selected step's predictions are stored (an earlier version ran this)."
)


@dataclass(frozen=True)
class ShownStep:
    """The evaluation whose predictions are shown.

    Attributes:
        steps: those whose predictions are stored, ascending.
        step: the one that is shown, one of them; None: there is none.
        name: of that step.
        selected: the selected step, if it is known.
        evaluations: number of all evaluations.
    """

    steps: Sequence[int] = ()
    step: int | None = None
    name: str = ""
    selected: int | None = None
    evaluations: int = 0

    @property
    def has_others(self) -> bool:
        """Return whether predictions of other steps are stored."""
        return len(self.steps) > 1

    @property
    def has_line(self) -> bool:
        """Return whether there is something to show: other steps, or that they are missing."""
        return self.step is not None and (self.has_others or self.evaluations > 1)

    @property
    def place(self) -> int:
        """Return the place of the shown step among the steps."""
        return 0 if self.step is None else self.steps.index(self.step)


class StepStrip(NamedTuple):
    """The line, and where its steps are.

    Attributes:
        line: the text.
        start: cell of the first step.
        places: cell of each step after that, ascending.
    """

    line: Text = Text()
    start: int = 0
    places: tuple[int, ...] = ()

    def at(self, cell: int) -> int | None:
        """Return the place of the step at a cell of the line; None: there is none."""
        if not self.places or not 0 <= cell - self.start <= self.places[-1]:
            return None
        return bisect.bisect_right(self.places, cell - self.start) - 1


def step_strip(shown: ShownStep, cells: int) -> StepStrip:
    """Return the line for a width in cells: the shown step, its place, and the selected one."""
    if not shown.has_line:
        return StepStrip()
    if not shown.has_others:
        return StepStrip(Text(ONLY_SELECTED, QUIET_STYLE, no_wrap=True, overflow="ellipsis"))
    words, count = _words(shown), len(shown.steps)
    start = width(shown.name) + 2
    room = max(1, min(MOST_CELLS, count, cells - start - width(words) - 2))
    places = tuple(at * (room - 1) // (count - 1) for at in range(count))
    line = Text(f"{shown.name}  ", no_wrap=True, overflow="ellipsis")
    signs = [(DOT, QUIET_STYLE)] * room
    if shown.selected in shown.steps:
        signs[places[shown.steps.index(shown.selected)]] = (SELECTED, OOD_STYLE)
    sign = SELECTED if shown.step == shown.selected else SHOWN
    signs[places[shown.place]] = (sign, f"bold {ID_STYLE}")
    for sign, style in signs:
        line.append(sign, style)
    return StepStrip(line.append(f"  {words}", QUIET_STYLE), start, places)


def _words(shown: ShownStep) -> str:
    """Return which of the steps is shown, and which one is selected."""
    count = len(shown.steps)
    said = f"{shown.place + 1:,} of {count:,}"
    if shown.evaluations > count:
        said += f" stored, of {shown.evaluations:,} evaluations"
    if shown.selected is None:
        return f"{said} · {{ }} other steps"
    if shown.step == shown.selected:
        return f"{said} · {SELECTED} selected · {{ }} other steps"
    return f"{said} · {SELECTED} selected: {shown.selected:,} (key 0) · {{ }} other steps"
