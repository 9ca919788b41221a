"""Combine the networks of earlier runs, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch

from engine.combine.averaging import combine_greedily, combine_logits, combine_uniformly
from engine.combine.bench import Bench
from engine.combine.interpolation import interpolate
from engine.combine.parents import ParentRun, check_images, check_shapes, check_weights_file
from engine.combine.stock import combine_as_stock
from engine.data import RunData, seed_hash, validation_augmentation
from engine.execution import Execution, folds_inference
from engine.machine.devices import resolve_device
from engine.machine.processor import usable_cores
from engine.model import FineTunedNetwork, build_for
from engine.protocol import (
    Cautioned,
    Combination,
    CombinationSpec,
    RunFinished,
    RunSpec,
    splits_differ,
)
from engine.protocol.intervals import uncertain_selection
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.monitor import NO_MONITOR, Monitor
from engine.rundir.phases import Phases
from engine.stop_request import StopRequest
from engine.train.setup import describe_network, measure_feature_rms

METHODS: Final[Mapping[str, Callable[[Bench], RunFinished]]] = {
    "soup": combine_uniformly,
    "greedy_soup": combine_greedily,
    "stock": combine_as_stock,
    "interpolation": interpolate,
    "ensemble": combine_logits,
}


def combine(
    task: CombinationSpec,
    parents: tuple[ParentRun, ...],
    data: RunData,
    run_dir: RunDir,
    log: EventLog,
    stop: StopRequest,
    monitor: Monitor = NO_MONITOR,
) -> RunFinished:
    """Combine the parents' networks and evaluate the result.

    It takes only as long as a few evaluations, so a stopped run saves nothing.

    Raises:
        InputError: if the parents cannot be combined.
        StopRequested: between batches, if a stop was requested.
    """
    spec, combination = task.spec, task.combination
    check_images(parents, data)
    torch.set_num_threads(spec.threads or usable_cores())
    phases = Phases(log, monitor)
    phases.begin("building_network")
    network = _build(spec, combination, parents, data)
    first = parents[0].state
    # Evaluations are in fp32, as in the parents' runs.
    execution = Execution(
        resolve_device(spec.device), "fp32", first.memory_format,
        folds_inference=folds_inference(spec),
    )  # fmt: skip
    execution.prepare(network.module)
    feature_rms = first.feature_rms
    if combination.starts_at == "linear_probe":
        feature_rms = measure_feature_rms(network, data, spec, execution, phases)
    bench = Bench(
        spec, combination, parents, data, network, execution, run_dir, phases, stop, feature_rms,
        validation_augmentation(spec, data),
    )  # fmt: skip
    log.record(describe_network(spec, network, execution, feature_rms, loaded=network.loaded))
    if few := uncertain_selection(data.validation_images, spec.select_on):
        log.record(Cautioned(message=few))
    if splits_differ({parent.run_id: parent.spec for parent in parents} | {"": spec}):
        log.record(
            Cautioned(message=_contamination(combination, has_target=data.target is not None))
        )
    outcome = METHODS[combination.method](bench)
    monitor.finish()
    return outcome


def _build(
    spec: RunSpec, combination: Combination, parents: Sequence[ParentRun], data: RunData
) -> FineTunedNetwork:
    """Return the network for the parents' weights, pre-trained only if that is needed."""
    is_pretrained = combination.needs_pretrained
    seed = seed_hash("network", spec.seed)
    network = build_for(spec, data.classes, seed=seed, is_pretrained=is_pretrained)
    check_shapes(parents, network, spec.model)
    if is_pretrained:
        for parent in parents:
            check_weights_file(parent, network)
    return network


def _contamination(combination: Combination, *, has_target: bool) -> str:
    selects = (
        ""
        if combination.method in ("soup", "stock", "ensemble")
        else ", which biases the selection"
    )
    return (
        "The runs hold out different images (their split seeds differ): ID accuracy is measured "
        f"on images that some of them were trained on, so it is too high{selects}."
        + (" OOD accuracy is not affected." if has_target else "")
    )
