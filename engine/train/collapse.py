"""When one predicted class means that a network has collapsed, and not that it is at its start."""

from __future__ import annotations

from typing import Final

from engine.evaluate import COLLAPSE_LOSS, Evaluation, has_collapsed
from engine.protocol import RunSpec

FEWEST_IMAGES: Final = 20
"""Validation images: one class for a handful of them is chance."""
FROM_SCRATCH_STEPS: Final = 100
"""After the warm-up: until then, a network from a random start may not have learned yet."""


def has_learned(evaluation: Evaluation, class_entropy: float) -> bool:
    """Say whether a network knows more than how frequent each class is (entropy in nats)."""
    return evaluation.id_loss < COLLAPSE_LOSS * class_entropy


def judge_collapse(
    spec: RunSpec, step: int, evaluation: Evaluation, class_entropy: float, *, learned: bool
) -> bool | None:
    """Say whether the network has collapsed after ``step`` updates; None: it cannot be told yet.

    It can be told once the warm-up is over, on enough validation images, of a network that was
    pre-trained, has ``learned`` before, or had time to.
    """
    if not has_collapsed(evaluation, class_entropy):
        return False
    since = step - spec.warmup_steps
    had_time = spec.weights != "none" or learned or since >= FROM_SCRATCH_STEPS
    enough = int(evaluation.predicted.sum()) >= FEWEST_IMAGES
    return True if since > 0 and had_time and enough else None
