"""The pre-trained network with a last layer trained alone: linear probing."""

from __future__ import annotations

from typing import Final

import msgspec
from torch import Tensor

from engine.combine.bench import Bench
from engine.train.last_layer import train_head_on
from engine.train.setup import make_generators

PROBE_STEPS: Final = 1000
"""Of the last layer, on cached features: seconds."""


def probe(bench: Bench) -> dict[str, Tensor]:
    """Train the last layer of the network as it was built, without masks, and return its weights.

    The network must still be the pre-trained one.
    """
    device = bench.execution.device
    spec = msgspec.structs.replace(bench.spec, dropout_rate=0.0, masks=1, head_steps=PROBE_STEPS)
    trained = train_head_on(
        bench.data, bench.network, spec, bench.execution, bench.feature_rms,
        make_generators(spec, device), bench.stop.raise_if_requested,
    )  # fmt: skip
    bench.log.record(trained)
    return bench.weights()
