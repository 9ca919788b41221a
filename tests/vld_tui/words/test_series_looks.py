"""The colours, marks and line patterns of series."""

from __future__ import annotations

import pytest

from vld_tui.words.palette import (
    DARK_SHADES,
    ID_STYLE,
    LIGHT_SHADES,
    OOD_STYLE,
    SERIES_STYLES,
    STATUS_STYLES,
    series_look,
)


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2) of a colour."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio (WCAG 2.2) of two colours."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_32_series_are_distinguishable_with_and_without_colours() -> None:
    looks = [series_look(index) for index in range(32)]
    assert len({(look.colour, look.dash) for look in looks}) == 32
    assert len({look.mark for look in looks}) == 32


def test_no_series_has_the_colour_of_id_or_ood() -> None:
    assert {ID_STYLE, OOD_STYLE}.isdisjoint(SERIES_STYLES)


@pytest.mark.parametrize(
    ("shades", "backgrounds"),
    [(DARK_SHADES, ("#121212", "#1E1E1E", "#262626")), (LIGHT_SHADES, ("#E0E0E0", "#D0D0D0"))],
)
def test_every_colour_is_readable_as_text(
    shades: dict[str, str], backgrounds: tuple[str, ...]
) -> None:
    for colour in {*SERIES_STYLES, *STATUS_STYLES.values(), ID_STYLE, OOD_STYLE}:
        for background in backgrounds:
            assert contrast(shades.get(colour, colour), background) >= 4.5, (colour, background)
