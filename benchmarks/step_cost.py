"""Measure what the engine adds to a training step, and what masks, arms and evaluations cost.

    python benchmarks/step_cost.py [--rounds 15]

Paired ratios in one process: the two sides of a ratio alternate, and the median of the paired
ratios is printed with its quartiles. Network, batch, precision and layout are those of the default
run; the bare step works on tensors already in memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import msgspec
import torch

from engine.arms import Arms
from engine.arms.ensemble import Ensemble
from engine.data import RunData, evaluation_batches, load_data, validation_augmentation
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
    device = training.execution.device

    def timed(action: Callable[[], None]) -> float:
        synchronize(device)
        started = time.perf_counter()
        action()
        synchronize(device)
        return time.perf_counter() - started

    for action in (ours, theirs, ours, theirs):
        action()
    ratios, our_ms = [], []
    for turn in range(rounds):
        order = (ours, theirs) if turn % 2 else (theirs, ours)
        seconds = {action: timed(action) for action in order}
        ratios.append(seconds[ours] / seconds[theirs])
        our_ms.append(1000 * seconds[ours])
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{name}: ×{middle:.3f} (quartiles {low:.3f} to {high:.3f}; "
        f"{statistics.median(our_ms):.0f} ms)"
    )


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


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    spec = resolve_spec({"lr": 1e-6})
    with tempfile.TemporaryDirectory() as home:
        run_dir = RunDir(Path(home) / "runs" / "benchmark")
        data = load_data(spec, run_dir.cache)
        training = prepare(spec, data, run_dir, None)
    network, execution = training.network, training.execution
    network.set_training(freeze_batchnorm=True)
    print(
        f"{spec.model}, {spec.image_size} px, {spec.batch_size * len(data.sources)} images, "
        f"{execution.precision} {execution.memory_format}, {device_name(execution.device)}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )

    def engine_step(masks: int) -> Callable[[], None]:
        with_masks = msgspec.structs.replace(spec, masks=masks)

        def step() -> None:
            take_step(with_masks, training, 0)

        return step

    eight = engine_step(8)
    paired("engine step (8 masks) / bare step", eight, bare_step(spec, training), rounds, training)
    paired("8 masks / 1 mask, whole step", eight, engine_step(1), rounds, training)

    in_parts = msgspec.structs.replace(spec, micro_batch_size=16)

    def step_in_parts() -> None:
        take_step(in_parts, training, 0)

    paired("step in parts of 16 images / step", step_in_parts, eight, rounds, training)

    features = torch.randn(48, network.feature_dim, device=execution.device)
    labels = torch.zeros(48, dtype=torch.int64, device=execution.device)

    def head_only(masks: int) -> Callable[[], None]:
        return lambda: masked_cross_entropy(
            network.head, features, labels, dropout_rate=0.9, masks=masks,
            generator=training.generators["masks"],
        ).backward()  # fmt: skip

    paired("8 masks / 1 mask, last layer alone", head_only(8), head_only(1), rounds, training)

    domain = data.sources[0]
    batches = list(
        evaluation_batches(
            domain, domain.out_indices, spec.eval_batch_size, network.mean, network.std,
            execution.device,
        )
    )  # fmt: skip

    def evaluation() -> None:
        loaded = evaluation_batches(
            domain, domain.out_indices, spec.eval_batch_size, network.mean, network.std,
            execution.device,
        )  # fmt: skip
        evaluate(network, loaded, execution)

    def bare_forward() -> None:
        network.module.eval()
        with torch.inference_mode():
            for images, _ in batches:
                network.module(execution.lay_out(images))

    paired("bare forward / evaluation (rate)", bare_forward, evaluation, rounds, training)
    compare_arms(spec, data, training, rounds)
    compare_augmentation(spec, data, training, max(3, rounds // 3))


if __name__ == "__main__":
    main()
