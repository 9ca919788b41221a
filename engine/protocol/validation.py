"""What selects the step on too few validation images, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.protocol.intervals import half_interval

FEWEST_VALIDATION_IMAGES: Final = 100
"""Validation images of all sources together; with fewer, users are cautioned."""
FEWEST_OF_A_DOMAIN: Final = 61
"""Validation images of each source; with fewer, one domain makes the mean over domains uncertain,
however many images the others have."""


def uncertain_selection(held_out: Mapping[str, int]) -> str:
    """Return a sentence on how uncertain ID accuracy is that is measured on a few images.

    ``held_out`` is the number of validation images of each source. Empty: there are enough.
    """
    counts = [*held_out.values()]
    images, smallest = sum(counts), min(held_out, key=lambda name: held_out[name], default="")
    if min(counts, default=0) < 1:
        return ""
    about_id = "ID accuracy, and what is selected by it, is uncertain by up to"
    id_points = f"±{100 * half_interval(counts):.0f} points (95% interval)."
    if images < FEWEST_VALIDATION_IMAGES:
        noun = "validation image" if images == 1 else "validation images"
        return f"{images} {noun}: {about_id} {id_points}"
    fewest = held_out[smallest]
    if fewest < FEWEST_OF_A_DOMAIN:
        noun = "validation image" if fewest == 1 else "validation images"
        points = f"±{100 * half_interval([fewest]):.0f}"
        return (
            f"Few validation images: {fewest} of {smallest}, whose accuracy is uncertain by up to "
            f"{points} points; {about_id} {id_points}"
        )
    return ""
