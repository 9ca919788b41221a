"""Checks before a run: its network, weights, images, domains and device."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from engine.protocol import (
    LoadedWeights,
    RunSpec,
    SpecError,
    nearest,
    too_few_gpus,
    too_few_images,
    too_few_sources,
)
from engine.protocol.datasets import (
    DatasetListing,
    check_held_out_source,
    check_splits,
    check_target,
)
from engine.protocol.intervals import uncertain_selection
from engine.protocol.recipes import no_gpu, outside_slurm_job, unknown_device
from engine.protocol.spec import LAST
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.local import LaunchError
from vld_tui.launch.queue import VISIBLE_GPUS, find_gpus
from vld_tui.store.errors import StoreError
from vld_tui.study.features import FeaturesCost
from vld_tui.study.forecast import Forecast, StudyCost
from vld_tui.study.planner import (
    InspectedWeights,
    LocalPlanner,
    Network,
    counts_of,
    weights_places,
)


class AbsentWeights(NamedTuple):
    """Missing weights, and how many runs need them.

    ``where``: on timm's ``hub``, nowhere (``none``), or a missing ``file``.
    """

    name: str
    where: Literal["hub", "none", "file"]
    runs: int


def absent_weights(planner: LocalPlanner, specs: Sequence[RunSpec]) -> tuple[AbsentWeights, ...]:
    """Return the weights that are not on this machine, querying the engine if necessary.

    Unknown networks are skipped; if the engine cannot answer, so are all networks.
    """
    files = Counter(spec.weights_file for spec in specs if spec.weights_file is not None)
    found = [
        AbsentWeights(path, "file", runs) for path, runs in files.items() if not Path(path).exists()
    ]
    models = Counter(
        model for spec in specs if spec.weights == "pretrained" for model in spec.models
    )
    networks = networks_for(planner, models)
    for model, runs in models.items():
        places = weights_places(model, networks)
        if places == {"hub"}:
            found.append(AbsentWeights(model, "hub", runs))
        elif places == {"none"}:
            found.append(AbsentWeights(model, "none", runs))
    return tuple(found)


def networks_for(planner: LocalPlanner, models: Iterable[str]) -> Sequence[Network]:
    """Return the known networks: the cached list if all of them are here."""
    known = planner.known_networks()
    if all(weights_places(model, known) & {"packaged", "cached"} for model in models):
        return known
    try:
        return planner.networks()
    except LaunchError:
        return known


class Preflight(NamedTuple):
    """Why a run would fail, which weights are missing here, and what was not checked.

    ``images`` is the run's data set; None: it cannot be read. ``features``: the cost of the cached
    features that it reads; None: it reads none, or unknown. ``loaded`` is what the run would load
    from its weight file; None: the weights are not a file, or cannot be loaded. ``cautions`` are
    warnings about the reliability of its results.
    """

    problems: tuple[str, ...]
    absent: tuple[AbsentWeights, ...]
    unchecked: tuple[str, ...]
    images: DatasetListing | None
    forecast: Forecast
    features: FeaturesCost | None = None
    loaded: LoadedWeights | None = None
    cautions: tuple[str, ...] = ()


def preflight(planner: LocalPlanner, spec: RunSpec, *, goes_elsewhere: bool = False) -> Preflight:
    """Check that the network, its weights, the images, their domains, the teacher and, unless the
    run ``goes_elsewhere``, the device exist.

    The engine is asked what it knows: no image is decoded, and a network is built only to see
    whether a weight file fits it.
    """
    unchecked = [*_never_checked(spec)]
    try:
        problems = [*_of_network(planner, spec)]
    except LaunchError as error:
        problems, unchecked = [], [f"the network ({error})", *unchecked]
    absent = () if problems else absent_weights(planner, [spec])
    weights = InspectedWeights()
    try:
        if spec.weights_file is not None and not absent and not problems:
            weights = planner.weights(spec)
    except LaunchError as error:
        unchecked = [f"the weight file ({error})", *unchecked]
    problems += [] if weights.problem is None else [weights.problem]
    listing: DatasetListing | None = None
    try:
        listing = planner.dataset_of(spec)
        problems += _of_images(spec, listing)
        problems += [] if goes_elsewhere else _of_outliers(planner, spec, listing)
    except DatasetError as error:
        problems.append(str(error))
    except LaunchError as error:
        unchecked = [f"the images ({error})", *unchecked]
    if teacher := planner.teacher_problem(spec, listing):
        problems.append(teacher)
    problems += [] if goes_elsewhere else _of_machine(spec)
    try:
        problems += [] if goes_elsewhere else _of_device(planner, spec)
    except LaunchError as error:
        unchecked = [f"the device ({error})", *unchecked]
    cautions = () if listing is None else tuple(_cautions(spec, listing))
    expected, features = Forecast(), None
    try:
        if not goes_elsewhere:
            expected = planner.forecast(spec, listing)
    except StoreError as error:
        unchecked = [*unchecked, f"the time ({error})"]
    if not (goes_elsewhere or problems):
        features, expected = _with_features(planner, spec, listing, expected)
    problems += () if features is None else features.problems
    if spec.tuning != "full" and features is None:
        unchecked.insert(0, f"{spec.tuning} tuning of this network")
    return Preflight(
        tuple(problems), absent, tuple(unchecked), listing, expected, features, weights.loaded,
        cautions,
    )  # fmt: skip


def _never_checked(spec: RunSpec) -> Iterator[str]:
    """Yield what only the run itself checks."""
    if spec.mask_at != LAST:
        yield f"whether the network has a stage or block named {spec.mask_at}"
    if spec.teacher is not None:
        yield "whether the teacher was trained on the same images"
    yield from ("individual images", "memory")


def _with_features(
    planner: LocalPlanner, spec: RunSpec, listing: DatasetListing | None, expected: Forecast
) -> tuple[FeaturesCost | None, Forecast]:
    """Return the cost of the features that a run reads, and its forecast with what an earlier run
    does not show: the time by a trial, the disk space by the network's size."""
    counts = None if listing is None else counts_of(listing)
    features = planner.features([spec], lambda *_: counts, times_steps=expected.wall_s is None)
    if features is None:
        return None, expected
    if expected.wall_s is None:
        expected = replace(expected, wall_s=features.run_s(spec))
    if expected.disk_bytes is None:
        cost = planner.with_disk(StudyCost(1), [spec])
        expected = replace(expected, disk_bytes=cost.disk_bytes)
    return features, expected


def _of_network(planner: LocalPlanner, spec: RunSpec) -> Iterator[str]:
    """Yield a problem if the network or its weights do not exist."""
    names = {network.name for network in networks_for(planner, spec.models)}
    known = sorted({name.split(".", maxsplit=1)[0] for name in names})
    for model in spec.models if known else ():
        architecture, _, tag = model.partition(".")
        if architecture not in known:
            yield f"timm has no network {model!r}.{nearest(architecture, known)}"
        elif tag and model not in names:
            tagged = sorted(name for name in names if name.startswith(f"{architecture}."))
            hint = nearest(model, tagged) or (f" Weights: {', '.join(tagged)}." if tagged else "")
            yield f"timm has no weights {tag!r} for {architecture}.{hint}"


def _of_device(planner: LocalPlanner, spec: RunSpec) -> Iterator[str]:
    """Yield a problem if this machine does not have the device."""
    if spec.ranks > 1 or spec.device in ("auto", "cpu"):
        return
    available = planner.devices()
    is_here = spec.device in available or (spec.device == "cuda" and "cuda:0" in available)
    if not is_here:
        yield unknown_device(spec.device, available)


def _of_machine(spec: RunSpec) -> Iterator[str]:
    """Yield a problem if this machine cannot hold the run's ranks; the engine checks in detail."""
    if spec.nodes > 1 and os.environ.get("SLURM_JOB_NUM_NODES", "1") != str(spec.nodes):
        yield outside_slurm_job(spec)
    if spec.ranks == 1 or spec.device == "cpu":
        return
    gpus = len(find_gpus())
    if gpus == 0:
        yield no_gpu(spec)
    elif problem := too_few_gpus(spec, gpus, os.environ.get(VISIBLE_GPUS)):
        yield problem


def _of_images(spec: RunSpec, listing: DatasetListing) -> Iterator[str]:
    """Yield problems with the images or the domains."""
    try:
        sources = _sources(spec, listing)
    except SpecError as error:
        yield str(error)
        return
    yield from filter(
        None, (too_few_images(spec, len(sources)), too_few_sources(spec, len(sources)))
    )
    try:
        _validation_images(spec, listing)
    except SpecError as error:
        yield str(error)


def _of_outliers(planner: LocalPlanner, spec: RunSpec, listing: DatasetListing) -> Iterator[str]:
    """Yield a problem with the number or the folder of outliers; the engine checks the images."""
    if problem := planner.outliers_problem(spec, listing):
        yield problem


def _cautions(spec: RunSpec, listing: DatasetListing) -> Iterator[str]:
    """Yield warnings about the run's results; none if the images are unusable."""
    with suppress(SpecError):
        sources, images = _sources(spec, listing), _validation_images(spec, listing)
        if few := uncertain_selection({name: images[name] for name in sources}, spec.select_on):
            yield few


def _sources(spec: RunSpec, listing: DatasetListing) -> list[str]:
    """Return the domains that the run would train on.

    Raises:
        SpecError: when the target or the held-out source is not valid.
    """
    domains = [domain.name for domain in listing.domains]
    target = check_target(listing.name, domains, spec.target)
    held_out = check_held_out_source(listing.name, domains, spec.held_out_source, target)
    return [name for name in domains if name not in (target, held_out)]


def _validation_images(spec: RunSpec, listing: DatasetListing) -> dict[str, int]:
    images = {domain.name: domain.images for domain in listing.domains}
    return check_splits(listing.name, images, spec.validation_fraction)
