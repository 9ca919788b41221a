"""Objectives and arms by name.

To add one, add a module in ``engine/objectives`` or ``engine/arms``, a line in the registry there,
and a line here.
"""

from __future__ import annotations

from typing import Final

OBJECTIVES: Final = {
    "erm": "mean loss over all images",
    "groupdro": "weighted mean of the source domains' losses; weights grow for the worst",
}
"""Training losses to minimise."""

ARMS: Final = {
    "averaged": "average of the weights over the run",
    "ensemble": "average of the logits of all evaluations so far",
}
"""Additional predictors that can be evaluated during a run."""

NETWORK_ARMS: Final = frozenset({"averaged"})
"""Arms that are a single network, with checkpoints like the run's own network."""
