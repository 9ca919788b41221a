"""The pre-trained network with a last layer trained alone: linear probing."""

from __future__ import annotations

import time
from typing import Final

import msgspec
import torch
from torch import Tensor

from engine.combine.bench import Bench
from engine.data import seed_hash
from engine.protocol import HeadTrained
from engine.train.head import cache_features, train_head
from engine.train.setup import training_images

PROBE_STEPS: Final = 1000
"""Of the last layer, on cached features: seconds."""


def probe(bench: Bench) -> dict[str, Tensor]:
    """Train the last layer of the network as it was built, without masks, and return its weights.

    The network must still be the pre-trained one.
    """
    began = time.perf_counter()
    network, execution = bench.network, bench.execution
    spec = msgspec.structs.replace(bench.spec, dropout_rate=0.0, masks=1, head_steps=PROBE_STEPS)
    domains = [
        training_images(domain, network, spec, execution.device) for domain in bench.data.sources
    ]
    stop = bench.stop.raise_if_requested
    cached = cache_features(network, domains, execution, stop)
    generators = {
        "batches": torch.Generator().manual_seed(seed_hash("batches", spec.seed)),
        "masks": torch.Generator(execution.device),
    }
    loss = train_head(network, cached, bench.feature_rms, spec, generators, stop)
    wall_s = time.perf_counter() - began
    bench.log.record(HeadTrained(steps=PROBE_STEPS, loss=loss, wall_s=wall_s))
    return {name: tensor.cpu().clone() for name, tensor in network.module.state_dict().items()}
