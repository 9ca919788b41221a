"""Drawn text that cannot control the terminal, wherever it comes from."""

from __future__ import annotations

from typing import Final

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from vld_tui.words.text import uncontrolled


class Uncontrolled(LineFilter):
    """Removes control characters from every line that is drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return the segments without control characters; those of the program itself remain."""
        return [
            each
            if each.control or each.text.isprintable()
            else Segment(uncontrolled(each.text), each.style)
            for each in segments
        ]


UNCONTROLLED: Final = Uncontrolled()
