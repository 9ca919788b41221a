"""Warning about a selection that is based on too few validation images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.protocol.intervals import half_interval

FEWEST_VALIDATION_IMAGES: Final = 100
"""Minimum validation images over all sources without a warning."""
FEWEST_OF_A_DOMAIN: Final = 61
"""Minimum validation images of each source without a warning: a single small domain makes the
mean over domains uncertain."""


def uncertain_selection(held_out: Mapping[str, int]) -> str:
    """Return a warning about the uncertainty of ID accuracy, or an empty string.

    ``held_out`` is the number of validation images of each source.
    """
    counts = [*held_out.values()]
    images, smallest = sum(counts), min(held_out, key=lambda name: held_out[name], default="")
    if min(counts, default=0) < 1:
        return ""
    about_id = "ID accuracy, and any selection based on it, is uncertain by up to"
    id_points = f"±{100 * half_interval(counts):.0f} points (95% interval)."
    if images < FEWEST_VALIDATION_IMAGES:
        noun = "validation image" if images == 1 else "validation images"
        return f"{images} {noun}: {about_id} {id_points}"
    fewest = held_out[smallest]
    if fewest < FEWEST_OF_A_DOMAIN:
        noun = "validation image" if fewest == 1 else "validation images"
        points = f"±{100 * half_interval([fewest]):.0f}"
        return (
            f"Few validation images: {smallest} has {fewest}, so its accuracy is uncertain by up "
            f"to {points} points; {about_id} {id_points}"
        )
    return ""
