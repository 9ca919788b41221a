"""Measure a training step with other masks against one with a single mask.

    python -m benchmarks.masks [--rounds 15] [--dataset emoji] [--model NAME] [--image-size PX]
                               [--batch N] [--device DEVICE]

The two sides of a ratio alternate in one process: 1 mask against 8, 64, the Gaussian limit, masks
of principal directions, and masks of a stage in the middle of the network. Prints machine and
revision, and the median of the paired ratios with its quartiles. Computing the principal directions
is timed separately, because it happens once, or every ``--mask-basis-every`` steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import msgspec

from benchmarks.revision import revision
from benchmarks.step_cost import engine_step, paired, prepared
from engine.machine.devices import synchronize
from engine.machine.processor import keep_freed_memory
from engine.model.blocks import stage_blocks
from engine.model.masked_block import find_block
from engine.protocol import RunSpec
from engine.train.last_layer import first_features
from engine.train.mask_basis import MaskBasis
from engine.train.setup import Training


def in_principal_directions(spec: RunSpec, training: Training) -> Training:
    """Return a training whose masks drop principal directions; print the time to compute them."""
    basis = MaskBasis(msgspec.structs.replace(spec, mask_basis="pca"), training.execution.ranks)
    began = time.perf_counter()
    basis.compute(first_features(training.data, training.network, spec, training.execution))
    synchronize(training.execution.device)
    training.network.set_training(freeze_batchnorm=True)
    print(f"principal directions, computed once: {time.perf_counter() - began:.1f} s", flush=True)
    return dataclasses.replace(training, mask_basis=basis)


def inside(spec: RunSpec, training: Training) -> tuple[str, Training]:
    """Return the stage in the middle of the network, and a training whose masks are there."""
    stages = list(stage_blocks(training.network.module))
    stage = stages[len(stages) // 2]
    block = find_block(training.network.module, stage, spec.model, spec.image_size)
    training.network.set_training(freeze_batchnorm=True)
    return stage, dataclasses.replace(training, masked_block=block)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dataset", default="emoji")
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--batch", type=int, default=16, help="images of each source")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    keep_freed_memory()
    fields = {"dataset": asked.dataset, "model": asked.model, "weights": asked.weights}
    if asked.image_size is not None:
        fields |= {"image_size": asked.image_size}
    print(f"revision {revision()}", flush=True)
    spec, data, training = prepared({**fields, "batch_size": asked.batch, "device": asked.device})
    print(f"{len(data.classes)} classes, {training.network.feature_dim} features", flush=True)
    one = engine_step(spec, training, masks=1)
    for masks in (8, 64, "inf"):
        step = engine_step(spec, training, masks=masks)
        paired(f"masks {masks} / 1, whole step", step, one, asked.rounds, training)
    rotated = in_principal_directions(spec, training)
    for masks in (1, 8, "inf"):
        step = engine_step(spec, rotated, masks=masks)
        name = f"masks {masks} of principal directions / 1 of units, whole step"
        paired(name, step, one, asked.rounds, training)
    stage, deep = inside(spec, training)
    step = engine_step(spec, deep, masks=1)
    paired(f"1 mask at {stage} / at the last layer, whole step", step, one, asked.rounds, training)


if __name__ == "__main__":
    main()
