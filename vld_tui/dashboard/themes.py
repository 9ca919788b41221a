"""The default themes: neutral greys, which terminals of 256 and 16 colours show as greys too.

A terminal of 256 colours has a ramp of greys, which only colours without a tint map to. The
surfaces of Textual's own themes are tinted, and became navy and teal there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter, dim_style
from textual.theme import Theme

from vld_tui.words.palette import GREEN, ORANGE, VERMILION

SELECTION: Final = "selection"
"""The CSS variable of the background of what is selected, on every screen."""
GREY_SPREAD: Final = 16
GREY_FACTOR, COLOUR_FACTOR = 0.7, 0.92
"""How much of a dimmed colour remains; coloured text has less contrast to lose."""


class ReadableDim(LineFilter):
    """Dims text so that it stays readable, unlike Textual, which dims later what is left."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments with dimmed colours."""
        return [
            Segment(text, style and _dimmed(text, style, background), control)
            for text, style, control in segments
        ]


def _dimmed(text: str, style: Style, background: Color) -> Style:
    """Return a style with its dimming resolved, if its colours are known."""
    front, back = style.color, style.bgcolor
    if not style.dim or front is None or front.triplet is None:
        return style
    if back is None or (back.triplet is None and not back.is_default):
        return style
    is_grey = max(front.triplet) - min(front.triplet) < GREY_SPREAD
    has_words = any(character.isalnum() for character in text)
    return dim_style(style, background, GREY_FACTOR if is_grey or not has_words else COLOUR_FACTOR)


READABLE_DIM: Final = ReadableDim()


def _theme(
    name: str,
    *,
    is_dark: bool,
    background: str,
    surface: str,
    panel: str,
    selection: str,
    line: str,
    text: str,
    quiet: str,
    accent: str,
) -> Theme:
    return Theme(
        name,
        primary=accent,
        secondary=quiet,
        accent=accent,
        warning=ORANGE,
        error=VERMILION,
        success=GREEN,
        foreground=text,
        background=background,
        surface=surface,
        panel=panel,
        dark=is_dark,
        variables={
            SELECTION: selection,
            "block-cursor-background": selection,
            "block-cursor-foreground": text,
            "block-cursor-blurred-background": selection,
            "block-cursor-blurred-foreground": text,
            "border": line,
            "border-blurred": line,
            "button-color-foreground": text,
            "footer-background": panel,
            "footer-key-foreground": text,
            "footer-description-foreground": quiet,
            "input-cursor-background": text,
            "input-cursor-foreground": background,
            "input-selection-background": line,
            "input-selection-foreground": background,
            "link-background-hover": selection,
            "screen-selection-background": selection,
            "foreground-disabled": quiet,
            "text-disabled": quiet,
            "text-muted": quiet,
            "scrollbar": line,
            "scrollbar-hover": quiet,
            "scrollbar-active": quiet,
            **dict.fromkeys(
                (
                    "scrollbar-background",
                    "scrollbar-background-hover",
                    "scrollbar-background-active",
                    "scrollbar-corner-color",
                ),
                surface,
            ),
        },
    )


_OURS: Final = (
    _theme(
        "textual-dark",
        is_dark=True,
        background="#121212",
        surface="#1C1C1C",
        panel="#262626",
        selection="#3A3A3A",
        line="#808080",
        text="#E4E4E4",
        quiet="#B2B2B2",
        accent="#87AFD7",
    ),
    _theme(
        "textual-light",
        is_dark=False,
        background="#FFFFFF",
        surface="#EEEEEE",
        panel="#E4E4E4",
        selection="#D0D0D0",
        line="#767676",
        text="#1C1C1C",
        quiet="#303030",
        accent="#005F87",
    ),
)
THEMES: Final[Mapping[str, Theme]] = {theme.name: theme for theme in _OURS}
"""They replace those of Textual by the same names, so that a saved choice stays valid."""


def with_selection(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the CSS variables of a theme, with a colour of the selection in other themes too."""
    return {SELECTION: variables["panel-lighten-2"], **variables}
