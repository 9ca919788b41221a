"""What the additional arms of a run predict on the target, from the run's stored predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data import DomainData
from engine.errors import InputError
from engine.protocol import DomainPredictions, PredictionsError, RunSpec, as_classes
from engine.rundir import RunDir


class ArmOnTarget(NamedTuple):
    """An arm on the images of OOD accuracy.

    Attributes:
        arm: its name.
        step: number of updates at its selected step; None: it is a combination.
        is_right: whether each image is classified correctly, (m,) bool.
    """

    arm: str
    step: int | None
    is_right: Tensor


@dataclass(frozen=True)
class ArmsOnTarget:
    """The arms of a run whose predictions are stored; ``notes`` name the others."""

    found: tuple[ArmOnTarget, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[tuple[str, int | None], ...]:
        """Return each arm with its selected step."""
        return tuple((each.arm, each.step) for each in self.found)


def read_arms_on_target(run_dir: RunDir, spec: RunSpec, target: DomainData | None) -> ArmsOnTarget:
    """Return what the additional arms of a run predict on the target's split ``in``."""
    found: list[ArmOnTarget] = []
    notes = []
    if target is None:
        return ArmsOnTarget()
    for arm in spec.arms:
        try:
            found.append(_read(run_dir, arm, target))
        except (InputError, PredictionsError) as error:
            notes.append(f"Arm {arm} is left out: {error}")
    return ArmsOnTarget(tuple(found), tuple(notes))


def _read(run_dir: RunDir, arm: str, target: DomainData) -> ArmOnTarget:
    """Return what an arm predicts on the target.

    Raises:
        InputError: if no predictions on these images are stored.
        PredictionsError: if the file is damaged.
    """
    stored = run_dir.read_predictions(arm)
    if stored is None:
        raise InputError(
            "its predictions are not stored (not evaluated, or evaluated by an earlier version)."
        )
    for each in stored.domains:
        if (each.domain, each.split) == (target.name, "in"):
            is_right = _is_right(each, target, len(stored.classes))
            return ArmOnTarget(arm, stored.step, is_right)
    raise InputError(f"its stored predictions do not include the target, {target.name}.")


def _is_right(stored: DomainPredictions, target: DomainData, classes: int) -> Tensor:
    """Return whether each image of the target is classified correctly, in order of its indices.

    Raises:
        InputError: if the predictions are of other images.
    """
    indices, images = target.in_indices, stored.each_image
    numbers = [] if images is None else images.numbers()
    if images is None or not np.array_equal(np.sort(indices), numbers):
        raise InputError("its stored predictions are of other images.")
    right = np.zeros(len(target.rows), dtype=bool)
    predicted, labels = (
        np.array([*as_classes(each, classes)]) for each in (images.predicted, images.labels)
    )
    right[numbers] = predicted == labels
    return torch.from_numpy(right[indices])
