"""Distinction between a collapsed network and one that has not learned yet."""

from __future__ import annotations

from typing import Final

import torch

from engine.data import RunData
from engine.evaluate import Evaluation
from engine.protocol import CollapseDetected, RunSpec

COLLAPSE_SHARE: Final = 0.95
"""Minimum fraction of predictions of one class in a collapse."""
COLLAPSE_LOSS: Final = 0.9
"""Minimum loss of a collapse, as a fraction of the class entropy."""
FEWEST_IMAGES: Final = 20
"""Minimum validation images: with fewer, a single predicted class may be chance."""
FROM_SCRATCH_STEPS: Final = 100
"""Steps after the warm-up that a randomly initialised network may need to learn."""
NEW_LAST_LAYER_STEPS: Final = 20
"""Steps that a pre-trained network with a random last layer may need to learn."""
COLLAPSE_ADVICE: Final = "Try a lower --lr (a third), more --masks, more --head-steps, or a lower --dropout."


def class_entropy(data: RunData) -> float:
    """Return the entropy (nats) of the training labels.

    It is the loss of a network that predicts only the class frequencies.
    """
    labels = torch.cat([domain.labels[domain.in_indices] for domain in data.sources])
    frequency = torch.bincount(labels).double() / len(labels)
    return float(torch.special.entr(frequency).sum())


def has_learned(evaluation: Evaluation, class_entropy: float) -> bool:
    """Return whether a network is better than the class frequencies (entropy in nats)."""
    return evaluation.id_loss < COLLAPSE_LOSS * class_entropy


def has_collapsed(evaluation: Evaluation, class_entropy: float) -> bool:
    """Return whether a single class is predicted and the loss is near the class entropy (nats)."""
    is_one_class = evaluation.dominant_share >= COLLAPSE_SHARE
    return is_one_class and not has_learned(evaluation, class_entropy)


def judge_collapse(
    spec: RunSpec, step: int, evaluation: Evaluation, class_entropy: float, *, learned: bool
) -> bool | None:
    """Return whether the network has collapsed after ``step`` updates; None: too early to decide.

    A collapse is reported only after the warm-up, on enough validation images, for a network that
    has ``learned`` before or had time to.
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


def describe_collapse(
    step: int, evaluation: Evaluation, class_entropy: float, classes: tuple[str, ...]
) -> CollapseDetected:
    """Return the event of a collapse that is first seen after ``step`` updates."""
    return CollapseDetected(
        step=step,
        predicted_class=classes[evaluation.dominant_class],
        share=evaluation.dominant_share,
        loss=evaluation.id_loss,
        class_entropy=class_entropy,
        advice=COLLAPSE_ADVICE,
    )
