"""Networks that fail to learn: losses and weights that are not finite, and collapse.

A collapsed network is distinguished from one that has not learned yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.data import RunData
from engine.data.load import Indices
from engine.datasets.folders import ImageSet
from engine.errors import TrainingError
from engine.evaluate import Evaluation
from engine.protocol import CollapseDetected, RunSpec
from engine.text import counted

DIVERGENCE_ADVICE: Final = "Restart with a lower --lr (a third), or with --grad-clip 1."
MOST_NAMED: Final = 4
"""Maximum number of a batch's images named in the message."""
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
COLLAPSE_ADVICE: Final = (
    "Try a lower --lr (a third), more --masks, more --head-steps, or a lower --dropout."
)


@dataclass(frozen=True)
class BadLoss:
    """The first loss that is not finite.

    Attributes:
        value: infinite or NaN.
        steps_ago: number of steps after it.
        before: loss of the previous step in nats, if known.
        rows: rows in the image set of its batch.
    """

    value: float
    steps_ago: int
    before: float | None
    rows: Indices | None


class LossMeter:
    """A sum of losses that stays on the device until it is read.

    Losses are kept with their images until then, so that the step of a bad loss can be named
    without synchronising with the device at every step.
    """

    def __init__(self, device: torch.device, total: float, count: int) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._sum = torch.tensor(total, dtype=dtype, device=device)
        self._unread: list[tuple[Tensor, Indices | None]] = []
        self.count = count

    @property
    def total(self) -> float:
        """Return the sum of the losses, in nats."""
        return float(self._sum)

    def add(self, loss: Tensor, rows: Indices | None) -> None:
        """Add a loss (scalar, nats) and its images' rows in the image set."""
        self._sum += loss
        self._unread.append((loss, rows))
        self.count += 1

    def take_mean(self) -> float:
        """Return the mean loss in nats since the last call, and reset."""
        mean = self.total / self.count
        self._sum.zero_()
        self._unread.clear()
        self.count = 0
        return mean

    def find_bad(self) -> BadLoss | None:
        """Return the first loss since the last reading that is not finite, if any."""
        if math.isfinite(self.total):
            return None
        values = [float(loss) for loss, _ in self._unread]
        for index, value in enumerate(values):
            if not math.isfinite(value):
                before = values[index - 1] if index else None
                return BadLoss(value, len(values) - 1 - index, before, self._unread[index][1])
        return None


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all values of tensors on one device are finite."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def bad_loss(bad: BadLoss, step: int, images: ImageSet, kept_step: int | None) -> TrainingError:
    """Return the error for a loss that is not finite.

    Args:
        bad: the loss.
        step: its step, from 1.
        images: the image set of the rows.
        kept_step: step of the last checkpoint, if there is one.
    """
    before = "" if bad.before is None else f" ({bad.before:.3g} at the previous step)"
    what = f"The loss of step {step} is {bad.value}{before}"
    return _error(what, step, bad.rows, images, kept_step)


def bad_weights(
    step: int, rows: Indices | None, images: ImageSet, kept_step: int | None
) -> TrainingError:
    """Return the error for weights or momentum that are not finite after an update."""
    what = f"Weights are NaN or infinite after step {step}"
    return _error(what, step, rows, images, kept_step)


def _error(
    what: str, step: int, rows: Indices | None, images: ImageSet, kept_step: int | None
) -> TrainingError:
    parts = [f"{what}."]
    if rows is not None:
        named = ", ".join(images.files[row].path for row in rows[:MOST_NAMED].tolist())
        others = len(rows) - MOST_NAMED
        rest = f" and {counted(others, 'other')}" if others > 0 else ""
        parts.append(f"Batch: {named}{rest}.")
    if kept_step is not None:
        parts.append(f"The checkpoint of step {kept_step} is intact.")
    parts.append(DIVERGENCE_ADVICE)
    return TrainingError(" ".join(parts), step)


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
