"""When one predicted class means that a network has collapsed, and not that it is at its start."""

from __future__ import annotations

from typing import Final

from engine.evaluate import COLLAPSE_LOSS, Evaluation, has_collapsed
from engine.protocol import RunSpec

FEWEST_IMAGES: Final = 20
"""Validation images: one class for a handful of them is chance."""
FROM_SCRATCH_STEPS: Final = 100
"""After the warm-up: until then, a network from a random start may not have learned yet."""
NEW_LAST_LAYER_STEPS: Final = 20
"""Until then, a pre-trained network whose last layer started at random may not have either."""


def has_learned(evaluation: Evaluation, class_entropy: float) -> bool:
    """Say whether a network knows more than how frequent each class is (entropy in nats)."""
    return evaluation.id_loss < COLLAPSE_LOSS * class_entropy


def judge_collapse(
    spec: RunSpec, step: int, evaluation: Evaluation, class_entropy: float, *, learned: bool
) -> bool | None:
    """Say whether the network has collapsed after ``step`` updates; None: it cannot be told yet.

    It can be told once the warm-up is over, on enough validation images, of a network that has
    ``learned`` before or had time to.
    """
    if not has_collapsed(evaluation, class_entropy):
        return False
    enough = int(evaluation.predicted.sum()) >= FEWEST_IMAGES
    had_time = learned or _had_time(spec, step)
    return True if step > spec.warmup_steps and had_time and enough else None


def _had_time(spec: RunSpec, step: int) -> bool:
    if spec.weights == "none":
        return step - spec.warmup_steps >= FROM_SCRATCH_STEPS
    return spec.head_steps > 0 or step > NEW_LAST_LAYER_STEPS
