"""What the measures of a shift mean, in a sentence or two of plain English.

The conclusions are those of Cohen-Wang, Vendrow and Madry, "Ask Your Distribution Shift if
Pre-Training is Right for You" (2024): pre-training helps with images that the sources do not cover,
and does not correct biases of the sources. The thresholds are ours, chosen to be round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from engine.diagnose.detection import RocArea
from engine.diagnose.support import PartOfTarget, Support

FAR_SHARE: Final = 0.5
"""Share of the target's images out of support from which it is far."""
INSIDE_SHARE: Final = 0.2
"""Share out of support up to which the target is within the support."""
LIKE_AUC: Final = 0.6
"""AUC up to which the target is like the sources."""
GAP: Final = 0.05
"""Accuracy within the support is low if it is more than this below ID accuracy, and its interval
is below ID accuracy."""
FEWEST_IMAGES: Final = 20
"""Minimum images within the support for a conclusion about the accuracy there."""

Kind = Literal["like", "inside", "biased", "partly", "far"]
"""``like``: not to be told from the sources; ``inside``: within their support; ``biased``: the
same, but with low accuracy; ``partly``: partly out of support; ``far``: mostly out of it."""


@dataclass(frozen=True)
class Verdict:
    """How far the target is, and what follows.

    Attributes:
        kind: of shift.
        text: one to three sentences.
    """

    kind: Kind
    text: str


def verdict_on(
    area: RocArea,
    support: Support,
    *,
    id_accuracy: float | None = None,
    nearest_source: str | None = None,
    is_distance_chance: bool | None = None,
) -> Verdict:
    """Describe a shift.

    Args:
        area: AUC of the probe "source or target?".
        support: the target's images by support; with accuracies if predictions are known.
        id_accuracy: of the same network on the sources' validation images; None: unknown.
        nearest_source: the source at the smallest distance; None: unknown, or there is only one.
        is_distance_chance: whether random samples of the sources are as far apart as the target
            and its nearest source; None: unknown.
    """
    is_low = _is_low(support.inside, id_accuracy)
    kind = _kind(area, support, is_low=is_low)
    numbers = f"AUC {area.value:.2f}, {_percent(support.out_share)} of its images out of support"
    place = _place(kind, numbers, nearest_source, is_distance_chance=is_distance_chance)
    parts = [place, _accuracies(support, id_accuracy), _conclusion(kind, support, id_accuracy)]
    return Verdict(kind, " ".join(part for part in parts if part))


def _kind(area: RocArea, support: Support, *, is_low: bool) -> Kind:
    if support.out_share >= FAR_SHARE:
        return "far"
    if support.out_share > INSIDE_SHARE:
        return "partly"
    if is_low:
        return "biased"
    return "like" if area.value <= LIKE_AUC else "inside"


def _is_low(inside: PartOfTarget, id_accuracy: float | None) -> bool:
    interval = inside.interval
    if id_accuracy is None or inside.accuracy is None or interval is None:
        return False
    is_clear = inside.images >= FEWEST_IMAGES and interval.high < id_accuracy
    return is_clear and id_accuracy - inside.accuracy > GAP


def _place(
    kind: Kind, numbers: str, nearest_source: str | None, *, is_distance_chance: bool | None
) -> str:
    texts: dict[Kind, str] = {
        "like": "The target is like the sources",
        "inside": "The target is within the support of the sources",
        "biased": "The target is within the support of the sources",
        "partly": "The target is partly out of the support of the sources",
        "far": "The target is far from the sources",
    }
    text = f"{texts[kind]} ({numbers})"
    if is_distance_chance:
        other = nearest_source or "the source"
        return f"{text}; its distance to {other} is within chance."
    return f"{text}; the nearest source is {nearest_source}." if nearest_source else f"{text}."


def _accuracies(support: Support, id_accuracy: float | None) -> str:
    parts = [
        f"{_percent(part.accuracy)} {where} ({part.images:,})"
        for part, where in (
            (support.inside, "within the support"),
            (support.outside, "out of it" if support.inside.images else "out of support"),
        )
        if part.accuracy is not None
    ]
    if not parts:
        return ""
    of_id = "" if id_accuracy is None else f", ID {_percent(id_accuracy)}"
    return f"Accuracy: {', '.join(parts)}{of_id}."


def _conclusion(kind: Kind, support: Support, id_accuracy: float | None) -> str:
    if kind == "far":
        return "Its errors are mostly extrapolation, where pre-training and rich features help."
    if kind == "partly":
        return "Rich features help out of support; more data like the target helps everywhere."
    if kind == "biased":
        return (
            "Errors within the support point to bias of the sources: more or cleaner data will "
            "help more than λ."
        )
    if id_accuracy is None or support.inside.accuracy is None:
        return ""
    if support.inside.images < FEWEST_IMAGES:
        return "There are too few images for a conclusion about accuracy."
    return "Accuracy within the support is about that on ID images, so the shift costs little."


def _percent(share: float | None) -> str:
    """Return a share as a percentage that is 0% or 100% only if it is exact."""
    if share is None:
        return "–"
    text = f"{100 * share:.0f}%"
    if text == "0%" and share > 0:
        return "<1%"
    return ">99%" if text == "100%" and share < 1 else text
