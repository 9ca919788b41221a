"""The palette's colours in the shades that are readable in a theme."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from vld_tui.words.palette import DARK_SHADES, LIGHT_SHADES


class Shades(LineFilter):
    """Replaces colours of the palette by their shades on a dark or light background."""

    def __init__(self, shades: Mapping[str, str]) -> None:
        super().__init__()
        self._shades = {
            Color.parse(base).hex: Style.from_color(Color.parse(shade).rich_color)
            for base, shade in shades.items()
        }
        self._shaded = functools.lru_cache(1024)(self._shade)

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return the segments in the theme's shades."""
        return [
            Segment(text, style and self._shaded(style), control)
            for text, style, control in segments
        ]

    def _shade(self, style: Style) -> Style:
        if style.color is None or style.color.triplet is None:
            return style
        shade = self._shades.get(Color.from_rich_color(style.color).hex)
        return style if shade is None else style + shade


ON_DARK: Final = Shades(DARK_SHADES)
ON_LIGHT: Final = Shades(LIGHT_SHADES)
