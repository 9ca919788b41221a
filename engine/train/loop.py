"""Fine-tune with very large dropout: the method, from the first step to the last.

Zhang & Bottou, "Fine-tuning with Very Large Dropout", arXiv 2403.00946.
"""

from __future__ import annotations

import math
import time

import msgspec
import torch
from torch import Tensor

from engine.data import RunData
from engine.errors import TrainingError
from engine.eventlog import EventLog
from engine.model import masked_logits
from engine.objectives import Batch
from engine.protocol import HeadTrained, RunFinished, RunSpec, RunStopped
from engine.rundir import RunDir
from engine.stop import StopRequest
from engine.train.checkpoint import Checkpoint, TrainingState
from engine.train.head import cache_features, train_head
from engine.train.milestones import DIVERGENCE_ADVICE, Milestones
from engine.train.optim import set_learning_rates
from engine.train.setup import Training, prepare, training_images


def fine_tune(
    spec: RunSpec,
    data: RunData,
    run_dir: RunDir,
    checkpoint: Checkpoint | None,
    log: EventLog,
    stop: StopRequest,
) -> RunFinished | RunStopped:
    """Fine-tune, evaluate and select, from the beginning or from a checkpoint.

    Raises:
        InputError: before anything was trained, for input no run can be made of.
        TrainingError: when the loss is no longer finite.
    """
    training = prepare(spec, data, run_dir, checkpoint)
    network, optimizer, state = training.network, training.optimizer, training.start
    milestones = Milestones(spec, data, training, run_dir, log)
    pace = milestones.pace
    log.record(training.describe(spec, data))

    if checkpoint is not None:
        training.restore(checkpoint)
    elif spec.head_steps > 0:
        log.record(_train_head_first(spec, data, training, stop))
        state = milestones.evaluate(state)

    network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    pace.training_begins()
    losses = LossMeter(training.execution.device, state.loss_sum, state.loss_count)
    for step in range(state.step, spec.steps):
        if stop.requested:
            if losses.count:
                _check_finite(losses.total / losses.count, step, state)
            state = msgspec.structs.replace(
                state, step=step, loss_sum=losses.total, loss_count=losses.count
            )
            milestones.save_last(state)
            return RunStopped(step=step, reason=stop.reason, wall_s=pace.elapsed_s)

        losses.add(take_step(spec, training, step))

        updates = step + 1
        training.arms.after_step(updates)
        is_milestone = updates % spec.eval_every == 0 or updates == spec.steps
        if updates % spec.log_every == 0 or is_milestone:
            mean_loss = losses.take_mean()
            _check_finite(mean_loss, updates, state)
            log.record(pace.steps_taken(updates, mean_loss, optimizer))
        if is_milestone:
            state = msgspec.structs.replace(state, step=updates, loss_sum=0.0, loss_count=0)
            state = milestones.evaluate(state)
            network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    return milestones.finish(state)


def take_step(spec: RunSpec, training: Training, step: int) -> Tensor:
    """Update every weight once; ``step`` counts from 0. This is the method.

    Returns:
        The loss in nats, a scalar on the device, averaged over the batch and K masks.
    """
    network, execution = training.network, training.execution
    optimizer, scaler = training.optimizer, training.scaler
    set_learning_rates(optimizer, spec, step)
    images, labels = training.batches.draw()
    with execution.autocast():
        features = network.features(execution.lay_out(images))  # Φ(x): (B, D), computed once
        logits = masked_logits(  # of m(λ) ⊙ Φ(x) / (1 − λ), for each of K masks: (K, B, C)
            network.head,
            features,
            dropout_rate=spec.dropout_rate,
            masks=spec.masks,
            generator=training.generators["masks"],
        )
        # Their mean cross-entropy, unless spec.objective says otherwise.
        loss: Tensor = training.objective(Batch(logits, features, labels, training.sources))
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    if spec.grad_clip is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.module.parameters(), spec.grad_clip)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


class LossMeter:
    """A sum of losses that stays on the device until somebody asks."""

    def __init__(self, device: torch.device, total: float, count: int) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._sum = torch.tensor(total, dtype=dtype, device=device)
        self.count = count

    @property
    def total(self) -> float:
        """Return the sum of the losses, in nats."""
        return float(self._sum)

    def add(self, loss: Tensor) -> None:
        """Add one loss in nats, a scalar."""
        self._sum += loss
        self.count += 1

    def take_mean(self) -> float:
        """Return the mean loss in nats since the last call, and begin again."""
        mean = self.total / self.count
        self._sum.zero_()
        self.count = 0
        return mean


def _train_head_first(
    spec: RunSpec, data: RunData, training: Training, stop: StopRequest
) -> HeadTrained:
    started = time.perf_counter()
    network, execution = training.network, training.execution
    domains = [training_images(domain, network, spec, execution.device) for domain in data.sources]
    loss = train_head(
        network,
        cache_features(network, domains, execution, stop.raise_if_requested),
        training.start.feature_rms,
        spec,
        training.generators,
        stop.raise_if_requested,
    )
    return HeadTrained(steps=spec.head_steps, loss=loss, wall_s=time.perf_counter() - started)


def _check_finite(mean_loss: float, step: int, state: TrainingState) -> None:
    if not math.isfinite(mean_loss):
        raise TrainingError(
            f"The loss was not finite by step {step}. The checkpoint of step {state.step} is "
            f"kept. {DIVERGENCE_ADVICE}"
        )
