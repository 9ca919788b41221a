"""What would keep a run from its end, as far as that is known before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.protocol import RunSpec, SpecError, nearest
from engine.protocol.datasets import check_held_out_source, check_target
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.local import LaunchError
from vld_tui.planner import LocalPlanner
from vld_tui.study.weights import AbsentWeights, absent_weights, networks_for


class Prospects(NamedTuple):
    """Why a run would fail, weights that are not here, and what nobody looked at; in words."""

    problems: tuple[str, ...]
    absent: tuple[AbsentWeights, ...]
    unchecked: tuple[str, ...]


def prospects(planner: LocalPlanner, spec: RunSpec) -> Prospects:
    """Look whether there are the network, its weights, the images and their domains.

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
    return Prospects(tuple(problems), absent, tuple(unchecked))


def _of_network(planner: LocalPlanner, spec: RunSpec) -> Iterator[str]:
    """Yield why there is no such network."""
    networks = networks_for(planner, [spec.model])
    known = sorted({network.name.split(".", maxsplit=1)[0] for network in networks})
    architecture = spec.model.split(".", maxsplit=1)[0]
    if known and architecture not in known:
        yield f"timm knows no network {spec.model!r}.{nearest(architecture, known)}"


def _of_images(planner: LocalPlanner, spec: RunSpec) -> Iterator[str]:
    """Yield why the images or the domains are not there."""
    try:
        listing = planner.dataset_of(spec)
        domains = [domain.name for domain in listing.domains]
        target = check_target(listing.name, domains, spec.target)
        check_held_out_source(listing.name, domains, spec.held_out_source, target)
    except (DatasetError, SpecError) as error:
        yield str(error)
