"""Whether two networks lie in one basin: what happens half way between them.

Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", arXiv 1912.05671:
the error barrier, there the highest point of the way; here, as usual for fine-tuned networks, the
point half way.
"""

from __future__ import annotations

import math
from typing import Final

from engine.combine.bench import Validation
from engine.protocol import BarrierMeasured

BARRIER_ACCURACY: Final = 0.02
"""An accuracy half way that is lower than the mean of the ends by more than this is a barrier."""


def describe_barrier(
    first: str, second: str, *, ends: tuple[Validation, Validation], half_way: Validation
) -> BarrierMeasured:
    """Return how far loss and accuracy half way are from the straight line between the ends."""
    mean_accuracy = (ends[0].accuracy + ends[1].accuracy) / 2
    loss_barrier = half_way.loss - (ends[0].loss + ends[1].loss) / 2
    accuracy_barrier = mean_accuracy - half_way.accuracy
    return BarrierMeasured(
        first=first,
        second=second,
        loss_barrier=loss_barrier if math.isfinite(loss_barrier) else None,
        accuracy_barrier=accuracy_barrier,
        is_barrier=accuracy_barrier > BARRIER_ACCURACY,
    )
