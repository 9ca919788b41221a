"""How far an accuracy on a few validation images can be believed."""

from __future__ import annotations

import math
from typing import Final

FEW_VALIDATION_IMAGES: Final = 60
"""Held-out images of a domain up to which users are warned."""


def half_interval(images: int) -> float:
    """Return half of the 95% interval (Wilson) of an accuracy of 50% on so many images."""
    z = 1.959964
    return z * math.sqrt(0.25 / images + z * z / (4 * images**2)) / (1 + z * z / images)


def uncertain_id(images: int) -> str:
    """Return the sentence that says how uncertain ID accuracy on so many images is."""
    return (
        f"ID accuracy, which selects the step, is uncertain by up to "
        f"±{100 * half_interval(images):.0f} points."
    )
