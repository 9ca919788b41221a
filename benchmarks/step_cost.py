"""Measure a training step against a bare one, and what masks, arms and evaluations cost.

    python benchmarks/step_cost.py [--rounds 15] [--only fold|parts]

The two sides of a ratio alternate in one process. Prints the median of the paired ratios with its
quartiles, and the ratio of processor times, which other programs affect less. A bare step is
forward, backward and update of the same network by eager torch, in the same precision and layout,
on tensors already in memory.

``fold``: steps and evaluations with and without folded BatchNorm, of the default network and of a
ResNet-50. ``parts``: masks, chunks, arms and augmented evaluations, of the default run.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import msgspec
import torch
from torch import Tensor

from engine.arms import Arms
from engine.arms.ensemble import Ensemble
from engine.data import DomainData, RunData, evaluation_batches, load_data, validation_augmentation
from engine.evaluate import evaluate, evaluate_domains, network_predictor
from engine.machine.devices import device_name, synchronize
from engine.machine.processor import keep_freed_memory
from engine.model import masked_cross_entropy
from engine.protocol import RunSpec, resolve_spec
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.optim import make_optimizer
from engine.train.setup import Training, prepare


def paired(
    name: str, ours: Callable[[], None], theirs: Callable[[], None], rounds: int, training: Training
) -> None:
    """Print the median of ours/theirs over alternating rounds."""
    wall, processor, our_ms = paired_ratios(ours, theirs, rounds, training.execution.device)
    low, middle, high = statistics.quantiles(wall, n=4)
    print(
        f"{name}: ×{middle:.3f} (quartiles {low:.3f} to {high:.3f}; {our_ms:.0f} ms; "
        f"processor time ×{statistics.median(processor):.3f})",
        flush=True,
    )


def paired_ratios(
    ours: Callable[[], None], theirs: Callable[[], None], rounds: int, device: torch.device
) -> tuple[list[float], list[float], float]:
    """Return the ratios of wall and processor times of alternating rounds, and our median time in
    ms."""

    def timed(action: Callable[[], None]) -> tuple[float, float]:
        synchronize(device)
        started, used = time.perf_counter(), time.process_time()
        action()
        synchronize(device)
        return time.perf_counter() - started, time.process_time() - used

    for action in (ours, theirs, ours, theirs):
        action()
    wall, processor, our_ms = [], [], []
    for turn in range(rounds):
        order = (ours, theirs) if turn % 2 else (theirs, ours)
        times = {action: timed(action) for action in order}
        wall.append(times[ours][0] / times[theirs][0])
        processor.append(times[ours][1] / times[theirs][1])
        our_ms.append(1000 * times[ours][0])
    return wall, processor, statistics.median(our_ms)


def bare_step(spec: RunSpec, training: Training) -> Callable[[], None]:
    """Return forward, backward and update of the same network on a fixed batch."""
    network, execution = training.network, training.execution
    images, labels = training.batches.draw()
    images = execution.lay_out(images)
    optimizer = make_optimizer(spec, network, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = 1e-6  # as costly as any other rate, and harmless

    def step() -> None:
        with execution.autocast():
            logits = network.module(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def compare_arms(spec: RunSpec, data: RunData, training: Training, rounds: int) -> None:
    """Print the cost of averaging for a step, and of the ensemble for an evaluation."""
    averaged = msgspec.structs.replace(spec, arms=("averaged",))
    arms = Arms(averaged, data, training.network, training.execution)

    def plain_step() -> None:
        take_step(spec, training, 0)

    def averaging_step() -> None:
        take_step(spec, training, 0)
        arms.after_step(1)

    training.network.set_training(freeze_batchnorm=True)
    paired("step with averaging / step", averaging_step, plain_step, rounds, training)
    predictor = network_predictor(training.network, spec.eval_batch_size, training.execution)

    def plain_evaluation() -> None:
        evaluate_domains(predictor, data, "dropout")

    def ensemble_evaluation() -> None:
        ensemble = Ensemble(spec, data)
        evaluation = evaluate_domains(predictor, data, "dropout", keeps_logits=True)
        ensemble.evaluate(spec.average_from, evaluation)

    few = max(3, rounds // 3)  # each evaluates all validation and target images
    paired(
        "evaluation with the ensemble / evaluation", ensemble_evaluation, plain_evaluation, few,
        training,
    )  # fmt: skip


def compare_augmentation(spec: RunSpec, data: RunData, training: Training, rounds: int) -> None:
    """Print the cost of augmented validation images for an evaluation."""
    network, execution = training.network, training.execution
    augmented = msgspec.structs.replace(spec, augment_validation=True)
    plain_predictor = network_predictor(network, spec.eval_batch_size, execution)
    predictor = network_predictor(
        network, spec.eval_batch_size, execution, validation_augmentation(augmented, data)
    )

    def plain_evaluation() -> None:
        evaluate_domains(plain_predictor, data, "dropout")

    def augmented_evaluation() -> None:
        evaluate_domains(predictor, data, "dropout", is_augmented=True)

    paired(
        "evaluation with augmented validation images as well / evaluation",
        augmented_evaluation, plain_evaluation, rounds, training,
    )  # fmt: skip


NETWORKS: Final[tuple[Mapping[str, object], ...]] = (
    {"precision": "fp32"},
    {"precision": "fp32", "model": "resnet50", "weights": "none", "image_size": 160},
)
"""Fields of the runs whose steps are measured with and without folding."""


def prepared(fields: Mapping[str, object]) -> tuple[RunSpec, RunData, Training]:
    """Prepare a run in a home of its own and print how it computes."""
    spec = resolve_spec({"dataset": "emoji", "lr": 1e-6, **fields})
    with tempfile.TemporaryDirectory() as home:
        run_dir = RunDir(Path(home) / "runs" / "benchmark")
        data = load_data(spec, run_dir.cache)
        training = prepare(spec, data, run_dir, None)
    training.network.set_training(freeze_batchnorm=True)
    execution = training.execution
    print(
        f"{spec.model}, {spec.image_size} px, {spec.batch_size * len(data.sources)} images, "
        f"{execution.name}, {device_name(execution.device)}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return spec, data, training


def engine_step(spec: RunSpec, training: Training, **fields: object) -> Callable[[], None]:
    """Return a step of the engine, with some fields changed."""
    changed = msgspec.structs.replace(spec, **fields)

    def step() -> None:
        take_step(changed, training, 0)

    return step


def compare_folding(fields: Mapping[str, object], rounds: int) -> None:
    """Print steps and evaluations with and without folding, against bare ones."""
    spec, data, training = prepared({**fields, "fold_batchnorm": "on"})
    plain = dataclasses.replace(
        training,
        backbone=training.network.features,
        execution=dataclasses.replace(
            training.execution, folds_training=False, folds_inference=False
        ),
    )
    bare = bare_step(spec, training)
    sides = {"folded": training, "not folded": plain}
    for name, side in sides.items():
        paired(f"step, {name} / bare step", engine_step(spec, side), bare, rounds, training)
    forward = bare_forward(spec, data, training)
    for name, side in sides.items():
        paired(
            f"bare forward / evaluation, {name} (rate)",
            forward, engine_evaluation(spec, data, side), rounds, training,
        )  # fmt: skip


def engine_evaluation(spec: RunSpec, data: RunData, training: Training) -> Callable[[], None]:
    """Return an evaluation of a source's validation images from the cache."""
    network, execution, domain = training.network, training.execution, data.sources[0]

    def evaluation() -> None:
        evaluate(network, evaluation_images(spec, domain, training), execution)

    return evaluation


def bare_forward(spec: RunSpec, data: RunData, training: Training) -> Callable[[], None]:
    """Return forward passes over the same images, already in memory."""
    network, execution = training.network, training.execution
    batches = list(evaluation_images(spec, data.sources[0], training))

    def forward() -> None:
        network.module.eval()
        with torch.inference_mode():
            for images, _ in batches:
                network.module(execution.lay_out(images))

    return forward


def evaluation_images(
    spec: RunSpec, domain: DomainData, training: Training
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the batches of a domain's validation images."""
    network = training.network
    return evaluation_batches(
        domain, domain.out_indices, spec.eval_batch_size, network.mean, network.std,
        training.execution.device,
    )  # fmt: skip


def compare_parts(rounds: int) -> None:
    """Print what masks, chunks, arms and augmented evaluations cost."""
    spec, data, training = prepared({})
    network = training.network
    eight = engine_step(spec, training, masks=8)
    one = engine_step(spec, training, masks=1)
    in_parts = engine_step(spec, training, micro_batch_size=16)
    paired("8 masks / 1 mask, whole step", eight, one, rounds, training)
    paired("step in parts of 16 images / step", in_parts, eight, rounds, training)

    features = torch.randn(48, network.feature_dim, device=training.execution.device)
    labels = torch.zeros(48, dtype=torch.int64, device=training.execution.device)

    def head_only(masks: int) -> Callable[[], None]:
        return lambda: masked_cross_entropy(
            network.head, features, labels, dropout_rate=0.9, masks=masks,
            generator=training.generators["masks"],
        ).backward()  # fmt: skip

    paired("8 masks / 1 mask, last layer alone", head_only(8), head_only(1), rounds, training)
    compare_arms(spec, data, training, rounds)
    compare_augmentation(spec, data, training, max(3, rounds // 3))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=("fold", "parts"))
    asked = parser.parse_args()
    keep_freed_memory()
    if asked.only != "parts":
        for fields in NETWORKS:
            compare_folding(fields, asked.rounds)
    if asked.only != "fold":
        compare_parts(asked.rounds)


if __name__ == "__main__":
    main()
