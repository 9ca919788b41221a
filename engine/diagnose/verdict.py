"""What the measures of a shift mean, in a sentence or two of plain English.

The conclusions are those of Cohen-Wang, Vendrow and Madry, "Ask Your Distribution Shift if
Pre-Training is Right for You" (2024): pre-training helps with images that the sources do not cover,
and does not correct biases of the sources. The thresholds are ours, chosen to be round.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import Final, Literal

from engine.diagnose.detection import RocArea
from engine.diagnose.sliced_wasserstein import DomainDistances
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
"""``like``: not separable from the sources; ``inside``: within their support; ``biased``: the
same, but with low accuracy; ``partly``: partly out of support; ``far``: mostly out of it."""


_PLACES: Final[dict[Kind, str]] = {
    "like": "like the sources",
    "inside": "within the support of the sources",
    "biased": "within the support of the sources",
    "partly": "partly out of the support of the sources",
    "far": "far from the sources",
}


@dataclass(frozen=True)
class Verdict:
    """How far the target is, and what follows.

    Attributes:
        kind: of shift.
        text: one to three sentences.
    """

    kind: Kind
    text: str


def verdict_on(area: RocArea, support: Support, *, id_accuracy: float | None = None) -> Verdict:
    """Describe a shift.

    Args:
        area: AUC of the probe "source or target?".
        support: the target's images by support; with accuracies if predictions are known.
        id_accuracy: of the same network on the sources' validation images; None: unknown.
    """
    is_low = _is_low(support.inside, id_accuracy)
    kind = _kind(area, support, is_low=is_low)
    parts = [
        f"The target is {_PLACES[kind]} (AUC {area.value:.2f}, {_percent(support.out_share)} of "
        "its images out of support).",
        _accuracies(support, id_accuracy),
        _conclusion(kind, support, id_accuracy, is_low=is_low),
    ]
    return Verdict(kind, " ".join(part for part in parts if part))


def distance_sentence(distances: DomainDistances, target: str) -> str:
    """Return which source is nearest to the target, and how that compares with other distances."""
    nearest = distances.nearest_source(target)
    if nearest is None:
        return ""
    found = distances.of(target, nearest)
    which = "The nearest source is" if len(distances.sources) > 1 else "The source is"
    by_chance = (
        f"no farther than random samples of the sources are ({found.chance:.2f})"
        if found.is_chance
        else f"farther than random samples of the sources are ({found.chance:.2f})"
    )
    return (
        f"{which} {nearest}, at a distance of {found.value:.2f}, {by_chance}."
        f"{_distance_of_sources(distances)}"
    )


def _distance_of_sources(distances: DomainDistances) -> str:
    apart = [distances.of(*pair).value for pair in itertools.combinations(distances.sources, 2)]
    if not apart:
        return ""
    mean = "" if len(apart) == 1 else " on average"
    return f" The sources are {statistics.fmean(apart):.2f} apart{mean}."


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


def _conclusion(kind: Kind, support: Support, id_accuracy: float | None, *, is_low: bool) -> str:
    bias = "point to bias of the sources: more or cleaner data may help more than λ."
    if kind == "biased":
        return f"Errors within the support {bias}"
    if kind in {"far", "partly"}:
        return _of_distance(kind, support, bias if is_low else "")
    if id_accuracy is None or support.inside.accuracy is None:
        return ""
    if support.inside.images < FEWEST_IMAGES:
        return "There are too few images for a conclusion about accuracy."
    return "Accuracy within the support is not clearly lower than on ID images."


def _of_distance(kind: Kind, support: Support, bias: str) -> str:
    """Return what the images out of support mean; ``bias``: what those within it point to."""
    help_there = "extrapolation, where pre-training and rich features help."
    inside, outside = support.inside.accuracy, support.outside.accuracy
    few = min(support.inside.images, support.outside.images) < FEWEST_IMAGES
    if inside is None or outside is None or few:
        share = "Most" if kind == "far" else "Part"
        text = f"{share} of it has to be classified by {help_there}"
        is_known = inside is not None or outside is not None
        return f"{text} There are too few images to compare accuracies." if is_known else text
    if outside < inside:
        return f"Its errors are {'mostly' if kind == 'far' else 'partly'} {help_there}"
    no_lower = "Accuracy out of support is no lower than within it, so distance does not explain"
    return f"{no_lower} the errors{'. Those within the support ' + bias if bias else '.'}"


def _percent(share: float | None) -> str:
    """Return a share as a percentage that is 0% or 100% only if it is exact."""
    if share is None:
        return "–"
    text = f"{100 * share:.0f}%"
    if text == "0%" and share > 0:
        return "<1%"
    return ">99%" if text == "100%" and share < 1 else text
