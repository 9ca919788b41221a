"""Fine-tune with very large dropout: the method, from the first step to the last.

Zhang & Bottou, "Fine-tuning with Very Large Dropout", arXiv 2403.00946.
"""

from __future__ import annotations

import time

import msgspec
import torch
from torch import Tensor

from engine.data import RunData
from engine.model import masked_logits
from engine.objectives import Batch
from engine.protocol import (
    Cautioned,
    HeadTrained,
    RunFinished,
    RunSpec,
    RunStopped,
    is_evaluated,
)
from engine.protocol.validation import uncertain_selection
from engine.ranks import ALONE, Ranks
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest, StopRequested
from engine.train.checkpoint import Checkpoint
from engine.train.evaluation import Milestones
from engine.train.last_layer import train_head_on
from engine.train.losses import LossMeter
from engine.train.optim import set_learning_rates
from engine.train.overlap import overlaps
from engine.train.setup import Training, prepare


def fine_tune(
    spec: RunSpec,
    data: RunData,
    run_dir: RunDir,
    checkpoint: Checkpoint | None,
    log: EventLog,
    stop: StopRequest,
    ranks: Ranks = ALONE,
    began: float | None = None,
) -> RunFinished | RunStopped:
    """Fine-tune, evaluate and select, from the beginning or from a checkpoint.

    ``began``: when the attempt did, by ``time.perf_counter``; None: now.

    Several ranks do the same, each on its share of the images; the first tells and saves.

    Raises:
        InputError: before anything was trained, for input no run can be made of.
        StopRequested: when asked to stop before there was anything to save.
        TrainingError: when loss or weights are no longer finite.
    """
    began = time.perf_counter() if began is None else began
    training = prepare(spec, data, run_dir, checkpoint, ranks, stop)
    network, optimizer, state = training.network, training.optimizer, training.start
    milestones = Milestones(spec, data, training, run_dir, log, began)
    pace = milestones.pace
    log.record(training.describe(spec, data))
    few = uncertain_selection(data.validation_images)
    for message in filter(None, (few, *overlaps(spec, data, training.start.loaded))):
        log.record(Cautioned(message=message))

    if checkpoint is not None:
        training.restore(checkpoint)
    elif spec.head_steps > 0:
        log.record(_train_head_first(spec, data, training, stop))
        state = milestones.evaluate(state)

    network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    pace.training_begins()
    losses = LossMeter(training.execution.device, state.loss_sum, state.loss_count)
    for step in range(state.step, spec.steps):
        if ranks.agree(stop.requested):
            milestones.check(losses, step)
            state = msgspec.structs.replace(
                state, step=step, loss_sum=losses.total, loss_count=losses.count
            )
            milestones.save_last(state)
            return RunStopped(step=step, reason=stop.reason, wall_s=pace.elapsed_s)

        loss = take_step(spec, training, step)
        losses.add(loss, training.batches.drawn)

        updates = step + 1
        training.arms.after_step(updates)
        is_milestone = is_evaluated(spec, updates)
        if updates % spec.log_every == 0 or is_milestone:
            milestones.check(losses, updates)
            log.record(pace.steps_taken(updates, losses.take_mean(), optimizer))
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
    optimizer, scaler, ranks = training.optimizer, training.scaler, execution.ranks
    set_learning_rates(optimizer, spec, step)
    images, labels = training.batches.draw()
    with execution.autocast():
        # Φ(x): (B, D), computed once; each rank computes its share, and has all from here on.
        features = training.backbone(execution.lay_out(images), spec.micro_batch_size)
        features = ranks.gather(features, len(labels))
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
    ranks.copy_first(training.found_by_each_rank())
    if spec.grad_clip is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.module.parameters(), spec.grad_clip)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def _train_head_first(
    spec: RunSpec, data: RunData, training: Training, stop: StopRequest
) -> HeadTrained:
    ranks = training.execution.ranks

    def stop_if_asked() -> None:
        if ranks.agree(stop.requested):
            raise StopRequested

    return train_head_on(
        data, training.network, spec, training.execution, training.start.feature_rms,
        training.generators, stop_if_asked,
    )  # fmt: skip
