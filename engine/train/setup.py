"""Preparation of a run before its first step."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
import torch
from torch import Tensor

from engine.arms import Arms
from engine.data import (
    DomainData,
    FrozenFeatures,
    RunData,
    TrainingBatches,
    evaluation_batches,
    seed_hash,
)
from engine.errors import InputError
from engine.execution import (
    ChosenExecution,
    Execution,
    Probe,
    Report,
    choose_execution,
    folds_inference,
)
from engine.features import cached_features
from engine.machine.devices import device_name, resolve_device
from engine.machine.processor import release_freed_memory, usable_cores
from engine.model import NETWORK, FineTunedNetwork, build_for, masked_cross_entropy
from engine.model.block_mask import BlockMask
from engine.model.masked_block import MaskedBlock, find_block
from engine.model.sparse import Zeros, sparsity_of
from engine.objectives import Objective, Task, make_objective
from engine.protocol import (
    FeaturesComputed,
    LoadedWeights,
    ModelPrepared,
    RunSpec,
    evaluations_after,
    trial_seed,
)
from engine.protocol.phases import PhaseName
from engine.protocol.spec import LAST, applies
from engine.protocol.timings import FORWARD, TIMINGS
from engine.ranks import ALONE, Backbone, Ranks
from engine.rundir import RunDir
from engine.rundir.phases import SILENT, Phases, ReportedPhase
from engine.stop_request import StopRequest
from engine.train.checkpoint import (
    ARMS,
    MASK_BASIS,
    OBJECTIVE,
    ZEROS,
    Checkpoint,
    TrainingState,
    restore,
)
from engine.train.mask_basis import MaskBasis
from engine.train.optim import make_optimizer
from engine.train.teaching import learn_from_others

RMS_IMAGES = 256
"""Images of each source domain for measuring the features' scale."""
PROBE_SHARE = 8
"""A probe of an execution has one of this many images of a step."""
FEWEST_PROBED = 4
"""Minimum images of a probe."""
FORWARD_SHARE = 0.25
"""Approximate time of a forward pass without gradients, as a fraction of a training step."""


@dataclass(frozen=True)
class Training:
    """The objects of the training loop, on the device.

    ``backbone`` is the network's Φ, wrapped for several ranks. ``data`` has the frozen features
    that the run reads in place of images, if it does.
    """

    data: RunData
    network: FineTunedNetwork
    backbone: Backbone
    execution: Execution
    batches: TrainingBatches
    outliers: TrainingBatches | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    generators: dict[str, torch.Generator]
    objective: Objective
    mask_basis: MaskBasis
    masked_block: MaskedBlock | None
    zeros: Zeros
    arms: Arms
    chosen: ChosenExecution
    start: TrainingState

    @property
    def sources(self) -> int:
        """Return the number of domains in a batch."""
        return len(self.data.sources)

    @property
    def drawing_s(self) -> float:
        """Return the seconds that drawing batches took so far."""
        return sum(each.drawing_s for each in (self.batches, self.outliers) if each is not None)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw a batch.

        Returns:
            This rank's images, or their frozen features, with its outliers after them, and the
            labels of all images that have one: see :meth:`TrainingBatches.draw`.
        """
        images, labels = self.batches.draw()
        if self.outliers is None:
            return images, labels
        return torch.cat([images, self.outliers.draw()[0]]), labels

    def draw_block_mask(self, images: int, dropout_rate: float) -> BlockMask | None:
        """Draw a mask of a block's channels for this rank's share of ``images`` images.

        None if the run masks the representation.
        """
        if self.masked_block is None:
            return None
        whole = self.masked_block.draw(images, dropout_rate, self.generators["masks"])
        return whole.of_images(self.execution.ranks.share(images))

    def replicated_tensors(self) -> list[Tensor]:
        """Return the tensors that every rank computes on the whole batch in a step."""
        trained = [*self.network.head.parameters(), *self.objective.parameters()]
        gradients = [each.grad for each in trained if each.grad is not None]
        return [*gradients, *self.objective.changing_buffers()]

    def trained_parameters(self) -> list[Tensor]:
        """Return the parameters of network and objective."""
        return [*self.network.module.parameters(), *self.objective.parameters()]

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint."""
        restore(checkpoint, self.network.module, self.optimizer, self.scaler, self.generators)
        self.objective.restore(checkpoint.part(OBJECTIVE))
        self.mask_basis.restore(checkpoint.part(MASK_BASIS), self.execution.device)
        self.zeros.load(checkpoint.part(ZEROS))
        self.arms.restore(checkpoint.part(ARMS))

    def other_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of objective, masks, zeros and arms by their names in checkpoints."""
        objective = self.objective.state_dict().items()
        return {
            **{OBJECTIVE + name: tensor for name, tensor in objective},
            **{MASK_BASIS + name: each for name, each in self.mask_basis.tensors().items()},
            **{ZEROS + name: tensor for name, tensor in self.zeros.tensors().items()},
            **{ARMS + name: tensor for name, tensor in self.arms.tensors().items()},
        }

    def describe(self, spec: RunSpec, data: RunData) -> ModelPrepared:
        """Return the event about network and device."""
        return describe_network(
            spec,
            self.network,
            self.execution,
            self.start.feature_rms,
            loaded=self.start.loaded,
            sparsity=self.start.sparsity,
            chosen=self.chosen,
            seconds_left=self._seconds_left(spec, data),
        )

    def _seconds_left(self, spec: RunSpec, data: RunData) -> float | None:
        """Estimate the whole run's time from the measured step; None if none was measured."""
        if not self.chosen.step_ms:
            return None
        step_s = min(self.chosen.step_ms.values()) / 1000
        forward_s = FORWARD_SHARE * step_s / spec.images_per_step(len(data.sources))
        evaluated = sum(len(domain.out_indices) for domain in data.domains)
        evaluated += sum(len(each.in_indices) for each in data.domains if not each.is_source)
        if spec.augment_validation:
            evaluated += sum(data.validation_images.values())
        evaluations = evaluations_after(spec, self.start.step)
        cached = 0
        if spec.head_steps > 0 and self.start.step == 0:
            cached = sum(len(domain.in_indices) for domain in data.sources)
            evaluations += 1
        images = cached + evaluations * (1 + self.arms.networks) * evaluated
        if self.arms.refined is not None:
            images += sum(len(domain.in_indices) for domain in data.sources) + evaluated
        return (spec.steps - self.start.step) * step_s + images * forward_s


def describe_network(
    spec: RunSpec,
    network: FineTunedNetwork,
    execution: Execution,
    feature_rms: float,
    *,
    loaded: LoadedWeights | None,
    sparsity: float | None = None,
    chosen: ChosenExecution | None = None,
    seconds_left: float | None = None,
) -> ModelPrepared:
    """Return the event about a network and its device."""
    return ModelPrepared(
        model=spec.model,
        weights=spec.weights,
        parameters=sum(p.numel() for p in network.module.parameters()),
        feature_dim=network.feature_dim,
        feature_rms=feature_rms,
        device=str(execution.device),
        device_name=device_name(execution.device),
        precision=execution.precision,
        evaluation_precision="fp32",
        memory_format=execution.memory_format,
        folds_batchnorm=execution.folds_training,
        threads=torch.get_num_threads(),
        ranks=execution.ranks.size,
        loaded=loaded,
        sparsity=sparsity,
        step_ms={} if chosen is None else dict(chosen.step_ms),
        under_load=chosen is not None and chosen.under_load,
        timing_s=0.0 if chosen is None else chosen.timing_s,
        seconds_left=seconds_left,
    )


def prepare(
    spec: RunSpec, data: RunData, run_dir: RunDir, checkpoint: Checkpoint | None,
    ranks: Ranks = ALONE, stop: StopRequest | None = None, phases: Phases = SILENT,
) -> Training:  # fmt: skip
    """Build network, batches and optimizer, and choose precision and memory format.

    ``phases`` reports what takes long, and features that are computed first.

    Raises:
        StopRequested: if a stop is requested and there is only one rank.
        InputError: for an unavailable device, network, block, weights or precision, or if the
            images differ from the checkpoint's.
    """
    torch.set_num_threads(spec.threads or max(1, usable_cores() // ranks.local_size))
    device = resolve_device(spec.device, ranks.local_rank)
    seed = seed_hash("network", spec.seed)
    phases.begin("building_network")
    network = build_for(  # a checkpoint holds every tensor
        spec, data.classes, seed=seed, is_pretrained=checkpoint is None
    )
    images = data
    masked_block = None
    if spec.mask_at != LAST:
        masked_block = find_block(network.module, spec.mask_at, spec.model, spec.image_size)
    reads_features = spec.tuning == "linear" and spec.views is not None
    if reads_features:
        if checkpoint is not None:  # its backbone determines the features
            network.module.load_state_dict(checkpoint.part(NETWORK))
        forward = functools.cache(
            lambda: fastest_forward(spec, data, network, device, run_dir, phases)
        )
        heeded = stop if ranks.size == 1 else None
        data = compute_features(spec, data, network, device, forward, run_dir, heeded, phases)
    generators = make_generators(spec, device)
    chosen, start = _begin(spec, data, network, device, run_dir, checkpoint, ranks, stop, phases)
    execution = chosen.execution
    if reads_features:  # the network itself never runs again
        execution = replace(execution, folds_inference=False)
    execution.prepare(network.module)
    teaching = None
    if checkpoint is None and applies(spec, "teacher"):
        teaching = learn_from_others(
            spec, images, network, execution, run_dir, stop or StopRequest(), phases
        )
    task = Task.of(data, network.feature_dim, teaching)
    objective = make_objective(spec, task, device)
    return Training(
        data,
        network,
        ranks.parallel(network, folds=execution.folds_training),
        execution,
        *make_batches(spec, data, network, generators, device, ranks),
        optimizer=make_optimizer(spec, network, start.feature_rms, objective),
        scaler=torch.amp.GradScaler(device.type, enabled=execution.needs_scaler),
        generators=generators,
        objective=objective,
        mask_basis=MaskBasis(spec, ranks),
        masked_block=masked_block,
        zeros=Zeros(network, keeps=spec.is_sparse),
        arms=Arms(spec, data, network, execution, phases),
        chosen=chosen,
        start=start,
    )


def _begin(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, device: torch.device, run_dir: RunDir,
    checkpoint: Checkpoint | None, ranks: Ranks, stop: StopRequest | None, phases: Phases,
) -> tuple[ChosenExecution, TrainingState]:  # fmt: skip
    """Return how the run computes, and its state before the attempt's first step.

    Raises as :func:`prepare` does.
    """
    if checkpoint is not None:
        _check_same_images(data, checkpoint.state)
        return ChosenExecution(checkpoint.state.execution(device, ranks), {}), checkpoint.state
    if data.sources[0].frozen is not None:
        chosen = ChosenExecution(_on_features(spec, device, ranks), {})
    else:
        chosen = _choose(spec, data, network, device, run_dir, ranks, stop, phases)
    return chosen, _start(spec, data, network, chosen.execution, phases)


def make_batches(
    spec: RunSpec, data: RunData, network: FineTunedNetwork,
    generators: Mapping[str, torch.Generator], device: torch.device, ranks: Ranks,
) -> tuple[TrainingBatches, TrainingBatches | None]:  # fmt: skip
    """Return the batches of a run's sources, and those of its outliers, if it has any.

    Each is drawn by a generator of its own, so that outliers do not change the other images.
    """

    how = spec.transforms, network.mean, network.std
    of_sources = TrainingBatches(
        data, spec.batch_size, *how, generators["batches"], device, ranks, spec.sampling,
        spec.mixup_alpha if "mixup" in spec.objectives else None,
    )  # fmt: skip
    of_outliers = None
    if data.outliers is not None:
        count, generator = spec.outliers_per_step, generators["outliers"]
        of_outliers = TrainingBatches(data.outliers, count, *how, generator, device, ranks)
    return of_sources, of_outliers


def compute_features(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, device: torch.device,
    execution: Callable[[], Execution], run_dir: RunDir, stop: StopRequest | None,
    phases: Phases = SILENT,
) -> RunData:  # fmt: skip
    """Compute the features of all images and of ``spec.views`` views of them, and report them.

    Returns:
        The data with features in place of images, of outliers too.

    Raises:
        StopRequested: if a stop is requested.
        InputError: see :func:`engine.features.cached_features`.
    """
    began = time.perf_counter()
    report = phases.progress("computing_features")

    def on_progress(done: int, total: int) -> None:
        if stop is not None:
            stop.raise_if_requested()
        report(done, total)

    found = [
        cached_features(
            network, each, run_dir.cache, execution,
            model=spec.model, device=device, views=spec.views or 0, transforms=spec.transforms,
            batch_size=spec.eval_batch_size, on_progress=on_progress,
        )
        for each in (data, data.outliers)
        if each is not None
    ]  # fmt: skip
    images = sum(each.images for each in found)
    phases.record(
        FeaturesComputed(
            done=images, total=images, wall_s=time.perf_counter() - began,
            reused=images - sum(each.computed for each in found),
            size_bytes=sum(each.size_bytes for each in found),
            notes=tuple(dict.fromkeys(note for each in found for note in each.notes)),
        )
    )  # fmt: skip
    return data.reading(*(each.features for each in found))


def features_for_head(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution, run_dir: RunDir,
    stop: StopRequest | None, phases: Phases = SILENT,
) -> FrozenFeatures | None:  # fmt: skip
    """Return the features on whose views the last layer is trained first.

    None if it is trained on images without augmentation. Raises as :func:`compute_features` does.
    """
    if spec.views is None:
        return None
    if data.sources[0].frozen is None:
        data = compute_features(
            spec, replace(data, outliers=None), network, execution.device, lambda: execution,
            run_dir, stop, phases,
        )  # fmt: skip
    return data.sources[0].frozen


def _on_features(spec: RunSpec, device: torch.device, ranks: Ranks) -> Execution:
    """Return the execution of a run on frozen features, which is too short to be measured."""
    precision = "fp32" if spec.precision == "auto" else spec.precision
    memory_format = "contiguous" if spec.memory_format == "auto" else spec.memory_format
    return Execution(device, precision, memory_format, ranks, folds_inference=folds_inference(spec))


def fastest_forward(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, device: torch.device, run_dir: RunDir,
    phases: Phases = SILENT,
) -> Execution:  # fmt: skip
    """Choose the memory format of forward passes in fp32."""
    domain = data.sources[0]
    [(images, _), *_] = training_images(domain, network, spec, device, spec.eval_batch_size)

    def trial_pass(execution: Execution) -> float:
        execution.prepare(network.module)
        with torch.inference_mode(), network.folded(execution.folds_inference):
            return float(network.features(execution.lay_out(images)).square().mean())

    network.module.eval()
    in_fp32 = msgspec.structs.replace(spec, precision="fp32")
    key = f"{spec.model} {spec.image_size}px {len(images)} images{FORWARD}"
    timings = run_dir.cache / TIMINGS
    report = _tries(phases, "timing_memory_formats")
    return choose_execution(in_fp32, device, trial_pass, timings, key, report=report).execution


def _tries(phases: Phases, name: PhaseName) -> Report:
    """Return a function that reports the candidate that is tried.

    Some are tried again later, then all are counted as tried.
    """
    trying: ReportedPhase | None = None
    reached = 0

    def report(number: int, total: int, candidate: str) -> None:
        nonlocal trying, reached
        reached = max(reached, number)
        if trying is None:
            trying = phases.begin(name, total, done=number, detail=candidate, is_paced=False)
        else:
            trying.at(candidate)
            trying.reached(reached, at_once=True)

    return report


def _start(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, execution: Execution, phases: Phases
) -> TrainingState:
    """Return the state before the first step, the same on all ranks."""
    feature_rms = execution.ranks.from_first(
        lambda: measure_feature_rms(network, data, spec, execution, phases), float
    )
    return TrainingState(
        feature_rms=feature_rms,
        data_digest=data.digest,
        precision=execution.precision,
        memory_format=execution.memory_format,
        folds_training=execution.folds_training,
        folds_inference=execution.folds_inference,
        loaded=network.loaded,
        sparsity=sparsity_of(network) if spec.is_sparse else None,
        outliers_digest="" if data.outliers is None else data.outliers.digest,
    )


def make_generators(spec: RunSpec, device: torch.device, *phase: str) -> dict[str, torch.Generator]:
    """Return the initial random generators of a run, or of a phase with draws of its own.

    ``batches`` and ``outliers`` are on the CPU, ``masks`` on the device.
    """
    names = ["batches"] if spec.outliers is None else ["batches", "outliers"]
    seeds = {name: seed_hash(name, spec.seed, *phase) for name in (*names, "masks")}
    generators = {name: torch.Generator().manual_seed(seeds[name]) for name in names}
    return {**generators, "masks": torch.Generator(device).manual_seed(seeds["masks"])}


def _check_same_images(data: RunData, start: TrainingState) -> None:
    """Check that a run resumes on the same images, so that the split is the same.

    Raises:
        InputError: if names, sizes or number of the images have changed.
    """
    if start.data_digest != data.digest:
        raise InputError(
            f"The images in {data.image_set.location} have changed since this run started (added, "
            "removed, modified or relabelled), which changes the split. Restore them to resume, or "
            "start a new run."
        )
    if data.outliers is not None and start.outliers_digest != data.outliers.digest:
        raise InputError(
            f"The outliers in {data.outliers.image_set.location} have changed since this run "
            "started. Restore them to resume, or start a new run."
        )


def training_images(
    domain: DomainData, network: FineTunedNetwork, spec: RunSpec, device: torch.device,
    limit: int | None = None, ranks: Ranks = ALONE,
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Yield a domain's training images without augmentation, see :func:`evaluation_batches`."""
    indices = domain.in_indices[:limit]
    return evaluation_batches(
        domain, indices, spec.eval_batch_size, network.mean, network.std, device, ranks
    )


def measure_feature_rms(
    network: FineTunedNetwork, data: RunData, spec: RunSpec, execution: Execution,
    phases: Phases = SILENT,
) -> float:  # fmt: skip
    """Return the root mean square of the features over training images of each source.

    Raises:
        InputError: if it is zero or not finite.
    """
    execution.prepare(network.module)
    network.module.eval()
    squares, count = 0.0, 0
    folded = network.folded(execution.folds_inference)
    total = sum(min(RMS_IMAGES, len(domain.in_indices)) for domain in data.sources)
    measuring = phases.begin("measuring_features", total)
    with torch.inference_mode(), execution.autocast(), folded:
        for domain in data.sources:
            for images, _ in training_images(domain, network, spec, execution.device, RMS_IMAGES):
                measuring.advance(len(images))
                features = network.features(execution.lay_out(images)).float()
                squares += float(features.square().sum())
                count += features.numel()
    if not math.isfinite(squares):
        raise InputError(
            "The network's features are not finite before training: check its --weights, or use "
            "--precision fp32."
        )
    if squares == 0:
        raise InputError(
            "The network's features are all zero before training: check its --weights, or give a "
            "lower --sparsity."
        )
    return float((squares / count) ** 0.5)


def _choose(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, device: torch.device, run_dir: RunDir,
    ranks: Ranks, stop: StopRequest | None, phases: Phases,
) -> ChosenExecution:  # fmt: skip
    """Choose precision, memory format and folding for all ranks."""
    heeded = stop if stop is not None and ranks.size == 1 else StopRequest()

    def choose() -> tuple[str, str, bool, dict[str, float], bool, float]:
        choice = _try_executions(spec, data, network, device, run_dir, ranks.size, heeded, phases)
        execution = choice.execution
        kind = (execution.precision, execution.memory_format, execution.folds_training)
        return *kind, choice.step_ms, choice.under_load, choice.timing_s

    precision, memory_format, folds, step_ms, under_load, timing_s = ranks.from_first(
        choose, tuple[str, str, bool, dict[str, float], bool, float]
    )
    execution = Execution(device, precision, memory_format, ranks, folds, folds_inference(spec))
    return ChosenExecution(execution, step_ms, under_load, timing_s)


def _try_executions(
    spec: RunSpec, data: RunData, network: FineTunedNetwork, device: torch.device, run_dir: RunDir,
    ranks: int, stop: StopRequest, phases: Phases,
) -> ChosenExecution:  # fmt: skip
    """Time executions on a step's images of each source and outliers, the share of one rank.

    Weights are not changed.
    """
    shares = [(domain, -(-spec.batch_size // ranks)) for domain in data.sources]
    if data.outliers is not None:
        shares += [(each, -(-spec.outliers_per_step // ranks)) for each in data.outliers.sources]
    per_domain = [
        next(training_images(domain, network, spec, device, min(count, 256)))
        for domain, count in shares
    ]
    images, labels = (torch.cat(parts) for parts in zip(*per_domain, strict=True))
    no_masks = torch.Generator(device)

    def trial_step(execution: Execution, count: int = len(labels)) -> float:
        stop.raise_if_requested()
        execution.prepare(network.module)
        network.set_training(freeze_batchnorm=True)
        with execution.autocast():
            features = network.features(
                execution.lay_out(images[:count]), spec.micro_batch_size,
                folds=execution.folds_training,
            )  # fmt: skip
            loss = masked_cross_entropy(
                network.head, features, labels[:count],
                dropout_rate=0.0, masks=1, generator=no_masks,
            )  # fmt: skip
        loss.backward()
        network.module.zero_grad(set_to_none=True)
        return float(loss.detach())

    linear = " linear" if spec.tuning == "linear" else ""
    parts = f" {spec.micro_batch_size} at a time" if spec.micro_batch_size else ""
    network_key = f"{spec.model} {spec.image_size}px {len(labels)} images{parts}{linear}"
    timings = run_dir.cache / TIMINGS
    # With linear tuning, the backbone and its statistics never change.
    can_fold = bool(network.pairs) and (spec.freeze_batchnorm or spec.tuning == "linear")
    few = max(FEWEST_PROBED, len(labels) // PROBE_SHARE)
    probe = None
    if device.type == "cpu" and 2 * few <= len(labels):
        probe = Probe(functools.partial(trial_step, count=few), len(labels) / few)
    choice = choose_execution(
        spec, device, trial_step, timings, network_key,
        can_fold=can_fold, probe=probe, report=_tries(phases, "timing_precisions"),
    )  # fmt: skip
    release_freed_memory()
    return choice


def overlaps(spec: RunSpec, data: RunData, loaded: LoadedWeights | None) -> Iterator[str]:
    """Yield a warning for each accuracy on images that the initial network was trained on."""
    past = None if loaded is None else loaded.training
    if past is None or past.dataset != data.name:
        return
    begins = f"The network in --weights was trained by run {past.run} on images"
    for domain in data.domains:
        if not domain.is_source and domain.name not in (past.target, past.held_out_source):
            accuracy = "OOD accuracy" if domain.is_target else "accuracy"
            yield f"{begins} of {domain.name}: its {accuracy} is too high."
    split = (trial_seed(spec), spec.validation_fraction)
    if split != (past.split_seed, past.validation_fraction):
        yield (
            f"{begins} that this run holds out: ID accuracy is too high, which biases the "
            f"selection. For the same split: --trial-seed {past.split_seed} --validation-fraction "
            f"{past.validation_fraction:g}"
        )
