"""Training losses, by name.

To add one: write a module with an :class:`Objective`, and give it a line in ``OBJECTIVES`` here and
one in :mod:`engine.protocol.methods`. The loop, checkpoints and the command line need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from engine.objectives.erm import ERM
from engine.objectives.groupdro import GroupDRO
from engine.objectives.objective import Batch, Objective

OBJECTIVES: Final[Mapping[str, type[Objective]]] = {"erm": ERM, "groupdro": GroupDRO}

__all__ = ["OBJECTIVES", "Batch", "Objective", "make_objective"]


def make_objective(name: str, domains: int, device: torch.device) -> Objective:
    """Make an objective by name, for batches of so many sources."""
    return OBJECTIVES[name](domains).to(device)
