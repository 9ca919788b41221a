"""What would keep a run from its end, as far as that is known before it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from engine.protocol import RunSpec, SpecError, nearest, too_few_gpus, too_few_images
from engine.protocol.datasets import check_held_out_source, check_target
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.local import LaunchError
from vld_tui.planner import LocalPlanner
from vld_tui.queue.slots import VISIBLE_GPUS, find_gpus
from vld_tui.study.weights import AbsentWeights, absent_weights, networks_for


class Prospects(NamedTuple):
    """Why a run would fail, weights that are not here, and what nobody looked at; in words."""

    problems: tuple[str, ...]
    absent: tuple[AbsentWeights, ...]
    unchecked: tuple[str, ...]


def prospects(planner: LocalPlanner, spec: RunSpec, *, goes_elsewhere: bool = False) -> Prospects:
    """Look whether there are the network, its weights, the images and their domains, and the GPUs
    unless the run ``goes_elsewhere``.

    The engine is asked what it knows: no network is built and no image decoded.
    """
    unchecked = ["single images", "memory"]
    if spec.tuning != "full":
        unchecked.insert(0, f"{spec.tuning} tuning of this network")
    if spec.weights not in ("pretrained", "none"):
        unchecked.insert(0, "what is in the file of weights")
    try:
        problems = [*_of_network(planner, spec)]
    except LaunchError as error:
        problems, unchecked = [], [f"the network ({error})", *unchecked]
    absent = () if problems else absent_weights(planner, [spec])
    try:
        problems += _of_images(planner, spec)
    except LaunchError as error:
        unchecked = [f"the images ({error})", *unchecked]
    if not goes_elsewhere:
        problems += _of_machine(spec)
    return Prospects(tuple(problems), absent, tuple(unchecked))


def _of_network(planner: LocalPlanner, spec: RunSpec) -> Iterator[str]:
    """Yield why there is no such network."""
    networks = networks_for(planner, [spec.model])
    known = sorted({network.name.split(".", maxsplit=1)[0] for network in networks})
    architecture = spec.model.split(".", maxsplit=1)[0]
    if known and architecture not in known:
        yield f"timm knows no network {spec.model!r}.{nearest(architecture, known)}"


def _of_machine(spec: RunSpec) -> Iterator[str]:
    """Yield why this machine has no room for the run's ranks; the engine looks closer."""
    if spec.nodes > 1 and os.environ.get("SLURM_JOB_NUM_NODES", "1") != str(spec.nodes):
        yield (
            f"nodes is {spec.nodes}, but this is no Slurm job of {spec.nodes} machines: submit it "
            "with --on slurm, or leave out --nodes."
        )
    if spec.ranks == 1 or spec.device == "cpu":
        return
    gpus = len(find_gpus())
    if gpus == 0:
        yield (
            f"gpus is {spec.gpus}, but no GPU is found on this machine. Leave out --gpus, or give "
            "--device cpu to share the work among processes."
        )
    elif problem := too_few_gpus(spec, gpus, os.environ.get(VISIBLE_GPUS)):
        yield problem


def _of_images(planner: LocalPlanner, spec: RunSpec) -> Iterator[str]:
    """Yield why the images or the domains are not there."""
    try:
        listing = planner.dataset_of(spec)
        domains = [domain.name for domain in listing.domains]
        target = check_target(listing.name, domains, spec.target)
        held_out = check_held_out_source(listing.name, domains, spec.held_out_source, target)
    except (DatasetError, SpecError) as error:
        yield str(error)
        return
    if problem := too_few_images(spec, len(set(domains) - {target, held_out})):
        yield problem
