"""The colours of a heat map."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.style import Style

STEPS: Final = 64
"""Number of distinct colours."""
_STOPS: Final = (
    "#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958",
    "#fee838",
)  # fmt: skip
"""Cividis at equal distances."""
_BLACK, _WHITE = ColorTriplet(0, 0, 0), ColorTriplet(255, 255, 255)


def heat_style(share: float) -> Style:
    """Return the style of text on the colour of a share from 0 to 1."""
    return _style(round(max(0.0, min(1.0, share)) * STEPS))


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.1)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@lru_cache
def _style(step: int) -> Style:
    back = _colour(step / STEPS)
    text = max((_BLACK, _WHITE), key=lambda colour: contrast(colour, back))
    return Style(color=Color.from_triplet(text), bgcolor=Color.from_triplet(back))


def _colour(share: float) -> ColorTriplet:
    """Return the colour of a share, between the two stops around it."""
    place = share * (len(_STOPS) - 1)
    below = min(int(place), len(_STOPS) - 2)
    low, high = (Color.parse(stop).get_truecolor() for stop in _STOPS[below : below + 2])
    mixed = (round(a + (b - a) * (place - below)) for a, b in zip(low, high, strict=True))
    return ColorTriplet(*mixed)


def _luminance(colour: ColorTriplet) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = map(linear, colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
