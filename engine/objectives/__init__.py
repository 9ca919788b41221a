"""Training losses, by name.

An objective is a loss of each image, any number of weightings of images, and penalties: see
:class:`Objective`. To add one, write a module with a :class:`Loss`, :class:`Weighting` or
:class:`Penalty`, and add a line to ``OBJECTIVES`` here and one to :mod:`engine.protocol.methods`.
Its own settings are fields of :class:`~engine.protocol.RunSpec` with
``only_with=("objective", NAME)``. The loop, checkpoints, the command line, the form and run
identity need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from engine.objectives.abstention import Abstention
from engine.objectives.class_weights import ClassWeights, class_weights
from engine.objectives.confreg import ConfidenceRegularization
from engine.objectives.coral import CORAL
from engine.objectives.groupdro import GroupDRO
from engine.objectives.mixup import Mixup
from engine.objectives.objective import (
    ERM,
    Batch,
    Loss,
    Objective,
    Part,
    Penalty,
    Task,
    Teaching,
    Weighting,
)
from engine.objectives.odd import ODD
from engine.objectives.rpdro import RPDRO
from engine.objectives.vrex import VREx
from engine.protocol import RunSpec

OBJECTIVES: Final[Mapping[str, type[Loss | Weighting | Penalty]]] = {
    "erm": ERM,
    "odd": ODD,
    "groupdro": GroupDRO,
    "confreg": ConfidenceRegularization,
    "rpdro": RPDRO,
    "coral": CORAL,
    "vrex": VREx,
    "mixup": Mixup,
}

__all__ = [
    "OBJECTIVES",
    "Batch",
    "Loss",
    "Objective",
    "Part",
    "Penalty",
    "Task",
    "Teaching",
    "Weighting",
    "class_weights",
    "make_objective",
]


def make_objective(spec: RunSpec, task: Task, device: torch.device) -> Objective:
    """Return a run's objective."""
    loss: Loss = ERM(spec, task)
    others: dict[str, Weighting | Penalty] = {}
    if spec.class_weights == "balanced":
        others["class_weights"] = ClassWeights(spec, task)
    for name in spec.objectives:
        part = OBJECTIVES[name](spec, task)
        if isinstance(part, Loss):
            loss = part
        else:
            others[name] = part
    abstention = None if spec.outliers is None else Abstention(task.features)
    return Objective(loss, others, abstention).to(device)
