"""Objectives and arms, by name.

A new one is a module in ``engine/objectives`` or ``engine/arms``, a line in the registry there, and
a line here.
"""

from __future__ import annotations

from typing import Final

OBJECTIVES: Final = {
    "erm": "the mean loss over all images",
    "groupdro": "the sources' losses, those that do worst weighing most",
}
"""What training makes small."""

ARMS: Final = {
    "averaged": "the mean of the weights along the run",
    "ensemble": "the mean of the logits of every evaluation so far",
}
"""Ways of predicting that are measured beside the run's own network, along the run."""

NETWORK_ARMS: Final = frozenset({"averaged"})
"""Arms that are one network, evaluated and kept as the run's own is."""
