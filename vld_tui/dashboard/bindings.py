"""Key bindings, each with an id for which the user can choose other keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual.binding import Binding

FORMER_IDS: Final[Mapping[str, str]] = {
    "domain": "next-domain",
    "domain-before": "previous-domain",
    "every-step": "all-steps",
    "forget": "delete-preset",
    "hit-before": "previous-match",
    "keep-preset": "save-preset",
    "launch-rest": "launch-missing",
    "next-hit": "next-match",
    "page-before": "previous-page",
    "queue-it": "queue-new",
    "run-the-example": "run-example",
    "show": "measure",
    "slot-less": "fewer-slots",
    "slot-more": "more-slots",
    "study-before": "previous-study",
    "take": "accept",
    "take-out": "dequeue",
    "the-usual-ones": "default-columns",
    "view-before": "previous-view",
    "wait-for-a-slot": "queue-again",
}
"""Ids that earlier versions saved keys under, and the present ones."""


def bind(
    binding_id: str,
    keys: str,
    action: str,
    description: str,
    *,
    show: bool = False,
    key_display: str | None = None,
    priority: bool = False,
) -> Binding:
    """Return a binding; chosen keys are saved under its id, so an id never changes.

    Bindings that do the same on several screens, such as going back, share an id and thus their
    keys. ``keys`` are separated by commas; ``show``: in the footer.
    """
    return Binding(
        keys,
        action,
        description,
        show=show,
        key_display=key_display,
        priority=priority,
        id=binding_id,
    )


def under_present_ids(keys: Mapping[str, str]) -> dict[str, str]:
    """Return saved keys under the present ids of their bindings."""
    present = {each: theirs for each, theirs in keys.items() if each not in FORMER_IDS}
    former = {FORMER_IDS[each]: theirs for each, theirs in keys.items() if each in FORMER_IDS}
    return {**former, **present}
