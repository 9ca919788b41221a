"""Training losses, by name.

To add one, write a module with an :class:`Objective`, and add a line to ``OBJECTIVES`` here and one
to :mod:`engine.protocol.methods`. Its own settings are fields of
:class:`~engine.protocol.RunSpec` with ``only_with=("objective", NAME)``. The loop, checkpoints, the
command line, the form and run identity need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from engine.objectives.groupdro import GroupDRO
from engine.objectives.objective import ERM, Batch, Objective
from engine.protocol import RunSpec

OBJECTIVES: Final[Mapping[str, type[Objective]]] = {"erm": ERM, "groupdro": GroupDRO}

__all__ = ["OBJECTIVES", "Batch", "Objective", "make_objective"]


def make_objective(spec: RunSpec, domains: int, device: torch.device) -> Objective:
    """Return a run's objective for batches of ``domains`` sources."""
    return OBJECTIVES[spec.objective](spec, domains).to(device)
