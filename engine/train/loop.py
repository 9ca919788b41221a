"""The training loop: fine-tuning with very large dropout, and evaluation.

Zhang & Bottou, "Fine-tuning with Very Large Dropout", arXiv 2403.00946.
"""

from __future__ import annotations

import time

import msgspec
import torch
from torch import Tensor

from engine.arms import Arm
from engine.data import RunData
from engine.evaluate import Evaluation
from engine.machine.devices import gpu_uuids
from engine.machine.processor import release_freed_memory
from engine.model import masked_logits
from engine.objectives import Batch
from engine.protocol import (
    ArmEvaluated,
    Cautioned,
    Evaluated,
    HeadTrained,
    RunFinished,
    RunSpec,
    RunStopped,
    dropout_rate_at,
    is_evaluated,
)
from engine.protocol.intervals import uncertain_selection
from engine.protocol.selection import is_better
from engine.ranks import ALONE, Ranks
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.monitor import NO_MONITOR, Monitor
from engine.rundir.phases import Phases
from engine.stop_request import StopRequest, StopRequested
from engine.train.attempt import Attempt
from engine.train.checkpoint import Checkpoint, Selected, TrainingState
from engine.train.health import LossMeter, describe_collapse, has_learned, judge_collapse
from engine.train.last_layer import first_features, train_head_on
from engine.train.optim import set_learning_rates
from engine.train.refine import check_refinement, refine_last_layer
from engine.train.setup import Training, features_for_head, overlaps, prepare


def fine_tune(
    spec: RunSpec,
    data: RunData,
    run_dir: RunDir,
    checkpoint: Checkpoint | None,
    log: EventLog,
    stop: StopRequest,
    ranks: Ranks = ALONE,
    began: float | None = None,
    monitor: Monitor = NO_MONITOR,
) -> RunFinished | RunStopped:
    """Fine-tune, evaluate and select, from the beginning or from a checkpoint.

    Every rank runs this on its share of the images; the first records events and checkpoints.
    ``began``: start of the attempt as a ``time.perf_counter`` value; None: now. ``monitor`` samples
    the use of the machine.

    Raises:
        InputError: before training, if the input is invalid.
        StopRequested: if asked to stop before there is anything to save.
        TrainingError: if loss or weights are not finite.
    """
    began = time.perf_counter() if began is None else began
    check_refinement(spec, data)
    phases = Phases(log, monitor)
    training = prepare(spec, data, run_dir, checkpoint, ranks, stop, phases)
    data = training.data
    watch(monitor, training)
    network, optimizer, state = training.network, training.optimizer, training.start
    attempt = Attempt.begin(spec, data, training, run_dir, phases, began)
    log.record(training.describe(spec, data))
    few = uncertain_selection(data.validation_images, spec.select_on)
    for message in filter(None, (few, *overlaps(spec, data, training.start.loaded))):
        log.record(Cautioned(message=message))

    if checkpoint is not None:
        training.restore(checkpoint)
    elif spec.head_steps > 0:
        log.record(_train_head_first(spec, training, run_dir, phases, stop))
        with monitor.spending("evaluating"):
            state = evaluate(attempt, state)

    network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    attempt.pace.training_begins()
    losses = LossMeter(training.execution.device, state.loss_sum, state.loss_count)
    stepping = phases.begin("training", spec.steps, done=state.step)
    for step in range(state.step, spec.steps):
        if ranks.any_rank(stop.requested):
            attempt.save_stopped(state, losses, step)
            monitor.finish()
            return RunStopped(step=step, reason=stop.reason, wall_s=attempt.pace.elapsed_s)

        loss = take_step(spec, training, step)
        losses.add(loss, training.batches.drawn)

        updates = monitor.step = step + 1
        training.arms.after_step(updates)
        evaluates = is_evaluated(spec, updates)
        if updates % spec.log_every == 0 or evaluates:
            attempt.check_losses(losses, updates)
            log.record(attempt.pace.steps_taken(updates, losses.take_mean(), optimizer))
        if evaluates:
            state = msgspec.structs.replace(state, step=updates, loss_sum=0.0, loss_count=0)
            with monitor.spending("evaluating"):
                state = evaluate(attempt, state)
            network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
        stepping.reached(updates)
    try:
        state = refine(attempt, state, stop)
    except StopRequested:  # the checkpoint of the last step is saved
        return RunStopped(step=state.step, reason=stop.reason, wall_s=attempt.pace.elapsed_s)
    finally:
        monitor.finish()
    for note in training.objective.notes():
        log.record(Cautioned(message=note))
    return attempt.finish(state)


def watch(monitor: Monitor, training: Training) -> None:
    """Sample the GPUs of the run's ranks on this machine, and the time they wait for batches."""
    execution = training.execution
    ranks = execution.ranks.local_size
    monitor.watch(gpu_uuids(execution.device, ranks), ranks, lambda: training.drawing_s)


def take_step(spec: RunSpec, training: Training, step: int) -> Tensor:
    """Update all trained weights once; ``step`` counts from 0. This is the method.

    Returns:
        The loss in nats, a scalar on the device, averaged over the batch and K masks.
    """
    network, execution = training.network, training.execution
    optimizer, scaler, ranks = training.optimizer, training.scaler, execution.ranks
    set_learning_rates(optimizer, spec, step)
    update_mask_basis(spec, training, step)  # the directions that masks drop, if not units
    images, labels = training.draw()  # B, mixed in pairs if spec.objective is mixup; O outliers
    count = len(labels)
    rate = dropout_rate_at(spec, step)
    block_mask = training.draw_block_mask(count, rate)  # inside the backbone; None: masks of Φ
    with execution.autocast():
        # Φ(x): (B + O, D), computed once; each rank computes its share and gathers all.
        features = training.backbone(execution.lay_out(images), spec.micro_batch_size, block_mask)
        features = ranks.gather(features, count, spec.outliers_per_step)
        logits = masked_logits(  # of m(λ) ⊙ Φ(x) / (1 − λ), for each of K masks: (K, B + O, C)
            training.objective.last_layer(network.head),
            features,
            dropout_rate=rate if block_mask is None else 0.0,
            masks=spec.masks,
            generator=training.generators["masks"],
            draws=spec.mask_draws,
            basis=training.mask_basis.current,
        )
    logits, log_odds = training.objective.split(logits, count)
    # Their mean cross-entropy, unless spec.objective is another loss.
    rows = torch.from_numpy(training.batches.drawn)
    batch = Batch(
        logits, features[:count].float(), labels, rows, training.sources, step,
        pairs=training.batches.pairs, abstention=log_odds,
    )  # fmt: skip
    loss: Tensor = training.objective(batch)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    ranks.copy_first(training.replicated_tensors())
    if spec.grad_clip is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(training.trained_parameters(), spec.grad_clip)
    scaler.step(optimizer)
    scaler.update()
    training.zeros.restore()  # the zeros of a sparse network; otherwise there are none
    return loss.detach()


def update_mask_basis(spec: RunSpec, training: Training, step: int) -> None:
    """Compute the directions that masks drop, if that is due before update ``step``."""
    if training.mask_basis.is_due(step):
        network = training.network
        first = first_features(training.data, network, spec, training.execution)
        training.mask_basis.compute(first)
        network.set_training(freeze_batchnorm=spec.freeze_batchnorm)


def evaluate(attempt: Attempt, state: TrainingState) -> TrainingState:
    """Evaluate after ``state.step`` updates, select, report and save.

    Selects the best step on ID validation; OOD accuracy is only reported.

    Raises:
        TrainingError: if the network has diverged; the last checkpoint is kept.

    Returns:
        The state with the updated selected step.
    """
    spec, training, step = attempt.spec, attempt.training, state.step
    attempt.check_weights(step)
    began = time.perf_counter()
    evaluation, wall_s = attempt.measure(step)

    is_best = is_better(evaluation, state.selected)
    collapsed = judge_collapse(
        spec, step, evaluation, attempt.class_entropy, learned=state.has_learned
    )
    attempt.log.record(
        Evaluated(
            step=step, is_best=is_best, collapsed=collapsed, wall_s=wall_s, **evaluation.reported()
        )
    )
    if collapsed and not state.collapsed:
        classes, entropy = attempt.data.classes, attempt.class_entropy
        attempt.log.record(describe_collapse(step, evaluation, entropy, classes))
    state = msgspec.structs.replace(
        state,
        selected=Selected.of(step, evaluation) if is_best else state.selected,
        collapsed=state.collapsed if collapsed is None else collapsed,
        has_learned=state.has_learned or has_learned(evaluation, attempt.class_entropy),
    )
    if is_best:
        attempt.checkpoints.save_network("best", state, training.network)
        attempt.checkpoints.save_abstention(state, training.objective)
        training.arms.after_selection()

    if step > 0:  # arms start with the first step
        for name, arm in training.arms:
            state = _evaluate_arm(attempt, state, name, arm, evaluation)

    state = attempt.count_evaluation(state, time.perf_counter() - began)
    # Before the checkpoint, so that a crash leaves no older predictions.
    attempt.keep_predictions(step, evaluation, is_best=is_best)
    return attempt.save_evaluated(state)


def _evaluate_arm(
    attempt: Attempt, state: TrainingState, name: str, arm: Arm, evaluation: Evaluation
) -> TrainingState:
    """Evaluate an arm after an evaluation of the run's own network, and select its step."""
    began = time.perf_counter()
    found = arm.evaluate(state.step, evaluation)
    release_freed_memory()
    if found is None:
        return state
    return _select_of_arm(attempt, state, name, arm, found, time.perf_counter() - began)


def _select_of_arm(
    attempt: Attempt, state: TrainingState, name: str, arm: Arm, found: Evaluation, wall_s: float
) -> TrainingState:
    """Report an evaluation of an arm, which took ``wall_s``, and select the arm's step."""
    is_best = is_better(found, state.selected_of_arms.get(name))
    attempt.log.record(
        ArmEvaluated(
            step=state.step, arm=name, is_best=is_best, wall_s=wall_s, **found.reported(),
        )
    )  # fmt: skip
    if not is_best:
        return state
    selected = {**state.selected_of_arms, name: Selected.of(state.step, found)}
    state = msgspec.structs.replace(state, selected_of_arms=selected)
    if arm.network is not None:
        attempt.checkpoints.save_network(name, state, arm.network)
    attempt.keep_predictions_of_arm(name, state.step, found)
    return state


def refine(attempt: Attempt, state: TrainingState, stop: StopRequest) -> TrainingState:
    """Refine and evaluate the selected step's network, if the run has the arm ``refined``.

    A resumed run refines from the beginning, with the same result.

    Raises:
        StopRequested: if a stop is requested.
    """
    spec, training = attempt.spec, attempt.training
    arm = training.arms.refined
    if arm is None:
        return state
    refined = refine_last_layer(
        training.data, arm.network, spec, training.execution, training.start.feature_rms,
        lambda: _stop_if_asked(training, stop), attempt.phases, training.mask_basis.current,
    )  # fmt: skip
    attempt.log.record(refined)
    began = time.perf_counter()
    with attempt.phases.monitor.spending("evaluating"):
        found = arm.evaluate_refined(state.step)
    return _select_of_arm(attempt, state, "refined", arm, found, time.perf_counter() - began)


def _train_head_first(
    spec: RunSpec, training: Training, run_dir: RunDir, phases: Phases, stop: StopRequest
) -> HeadTrained:
    ranks, data, network = training.execution.ranks, training.data, training.network
    frozen = features_for_head(
        spec, data, network, training.execution, run_dir,
        stop if ranks.size == 1 else None, phases,
    )  # fmt: skip
    return train_head_on(
        data, network, spec, training.execution, training.start.feature_rms,
        training.generators, lambda: _stop_if_asked(training, stop), frozen, phases,
        training.mask_basis,
    )  # fmt: skip


def _stop_if_asked(training: Training, stop: StopRequest) -> None:
    """Raise StopRequested on all ranks if one is asked to stop."""
    if training.execution.ranks.any_rank(stop.requested):
        raise StopRequested
