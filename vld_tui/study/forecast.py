"""Forecast a run's time, memory and disk space from earlier runs, and a study's cost."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from engine.protocol import (
    FIELDS,
    FINAL_ARMS,
    NETWORK_ARMS,
    NO_TARGET,
    ArmEvaluated,
    DataPrepared,
    DomainInfo,
    Evaluated,
    RunFinished,
    RunSpec,
    evaluations_after,
    fields_with,
)
from engine.protocol.datasets import DomainListing
from engine.protocol.timings import MOST_TIMING_S, TIMINGS, is_timed_first
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import EventFollower
from vld_tui.store.errors import QueryError
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.features import FeaturesCost

MOST_RUNS: Final = 200
"""How many of the newest runs of a network that were started are considered."""
MOST_DISK_RUNS: Final = 20
SAME_PACE: Final = fields_with("pace")
"""Fields, besides the network, that must agree for paces to be comparable."""
DECIDING: Final = (*SAME_PACE, *fields_with("cost"))
"""Fields that a forecast depends on."""
_deciding: Final = attrgetter(*DECIDING)
_COUNTED: Final = tuple(name for name in FIELDS if name not in fields_with("implied"))
"""Fields whose values multiply a study's runs."""


@dataclass(frozen=True)
class ImageCounts:
    """A data set's numbers of domains and images."""

    domains: int
    images: int

    @classmethod
    def of(cls, domains: Sequence[DomainInfo] | Sequence[DomainListing]) -> ImageCounts:
        """Return the counts of these domains."""
        return cls(len(domains), sum(domain.images for domain in domains))


@dataclass(frozen=True)
class Forecast:
    """A run's expected cost; None if unknown; ``…_from`` is the run an estimate is based on.

    Without ``wall_from``, the time was measured by a trial; without ``disk_from``, the size follows
    from the network's. ``wall_s`` excludes what ``apart_from`` lists. ``memory_bytes`` is the peak
    main memory of the process. ``disk_bytes`` is the size of the checkpoints that are kept.
    ``timing_s`` is at most what the first run of a network here takes to time precisions; None:
    it is not the first, or they are given.
    """

    wall_s: float | None = None
    wall_from: Run | None = None
    apart_from: tuple[str, ...] = ()
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    disk_from: Run | None = None
    timing_s: float | None = None


@dataclass(frozen=True)
class FieldCost:
    """A field and its number of values; with only one, the study costs that fraction."""

    name: str
    values: int


@dataclass(frozen=True)
class StudyCost:
    """The cost of runs: total sequential seconds, and bytes kept on disk.

    ``wall_s`` excludes ``unknown`` runs without a comparable earlier run. ``wall_from`` is the run
    that most of the estimate is based on. ``disk_bytes`` None: unknown. ``largest``: the field
    with the most values, or None if none has several. ``features``: the cost of cached features,
    which ``wall_s`` and ``disk_bytes`` exclude; None: no run reads any, or unknown. ``measured``:
    how many runs' times come from a trial instead of an earlier run.
    """

    runs: int
    wall_s: float = 0.0
    unknown: int = 0
    wall_from: Run | None = None
    disk_bytes: int | None = None
    largest: FieldCost | None = None
    features: FeaturesCost | None = None
    measured: int = 0

    def seconds(self, devices: int) -> float:
        """Return the time (s) of everything; features are computed once, by one run."""
        computing_s = 0.0 if self.features is None else self.features.wall_s or 0.0
        return computing_s + self.wall_s / devices


CountImages = Callable[[str, str | None], ImageCounts | None]
"""Returns the counts of a data set, by name and folder; None: unknown."""


def forecast(store: Store, spec: RunSpec, *, host: str, counts: ImageCounts | None) -> Forecast:
    """Return a run's forecast on this host.

    Args:
        store: the history.
        spec: the run's spec.
        host: this machine's name; runs on other machines are not comparable.
        counts: counts of the run's data set; None: unknown.

    Raises:
        StoreError: when history cannot be read.
    """
    try:
        tried = Query.parse(f'model="{spec.model}" and step > 0')
        runs = store.runs.find(tried, limit=MOST_RUNS)
    except QueryError:  # not the name of a network
        return Forecast()
    like = _likest(spec, (run for run in runs if run.host == host))
    disk_bytes, disk_from = _disk(store, spec, runs if like is None else [like, *runs])
    if like is None:
        is_first = is_timed_first(spec, store.home.cache / TIMINGS)
        timing_s = MOST_TIMING_S if is_first else None
        return Forecast(disk_bytes=disk_bytes, disk_from=disk_from, timing_s=timing_s)
    progress = Progress.told_by(EventFollower(store.runs.run_dir(like.run_id)).news())
    wall_s, apart_from = _time(spec, like, progress, counts)
    return Forecast(
        wall_s,
        None if wall_s is None else like,
        apart_from,
        _memory(spec, like, progress),
        disk_bytes,
        disk_from,
    )


def _likest(spec: RunSpec, runs: Iterable[Run]) -> Run | None:
    """Return the most similar run with a measured pace; the newest of equals."""
    timed = [
        run
        for run in runs
        if run.steps_per_s
        and run.attempts == 1
        and all(getattr(run.spec, name) == getattr(spec, name) for name in SAME_PACE)
    ]

    def likeness(run: Run) -> tuple[bool, ...]:
        return (
            run.status == "finished",
            _same_images(run.spec, spec),
            (run.target == NO_TARGET) == (spec.target == NO_TARGET),
            run.spec.augment_validation == spec.augment_validation,
            run.spec.batch_size == spec.batch_size,
            run.spec.head_steps == spec.head_steps,
            run.spec.arms == spec.arms,
        )

    return max(timed, key=likeness, default=None)


def _same_images(one: RunSpec, other: RunSpec) -> bool:
    if one.data_dir and other.data_dir:
        return one.data_dir == other.data_dir
    return one.dataset == other.dataset  # runs record the folder of an added data set


def _time(
    spec: RunSpec, like: Run, progress: Progress, counts: ImageCounts | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return the total seconds, and what they exclude."""
    started, data, model = progress.started, progress.data, progress.model
    if not (started and data and model and progress.latest and progress.evaluations):
        return None, ()
    is_same = _same_images(like.spec, spec)
    theirs = ImageCounts.of(data.domains)
    ours = theirs if is_same else counts
    their_sources = len(data.sources)
    if ours is None or not their_sources or not theirs.images:
        return None, ()

    apart_from = [] if is_same else ["reading the images"]
    preparing_s = model.time - (started.time if is_same else data.time)
    preparing_s -= model.timing_s or 0.0  # later runs do not time precisions
    if (features := progress.features) is not None:
        if features.time <= model.time:
            preparing_s -= features.wall_s  # they are cached now
        if not is_same:
            apart_from.append("computing features")

    image_s = 1 / progress.latest.steps_per_s / (like.spec.batch_size * their_sources)
    training_s = spec.steps * spec.batch_size * _sources(spec, ours.domains) * image_s

    own_s = _evaluation_s(spec, like, progress.evaluations, data, image_s)
    in_steps = evaluations_after(spec, 0)
    evaluating_s = own_s * (in_steps + (spec.head_steps > 0))
    for arm in spec.arms:
        of_arm = progress.arms.get(arm)
        arm_s = own_s * (arm in NETWORK_ARMS)
        if of_arm and arm in NETWORK_ARMS:
            arm_s = _evaluation_s(spec, like, of_arm, data, image_s)
        elif of_arm:
            arm_s = _mean_s(of_arm)
        evaluating_s += arm_s * (1 if arm in FINAL_ARMS else in_steps)
    evaluating_s *= ours.images / theirs.images

    head_s = 0.0
    if spec.head_steps:
        if progress.head and is_same and progress.head.steps == spec.head_steps:
            head_s = progress.head.wall_s
        else:
            apart_from.append("training the last layer first")
    if "refined" in spec.arms:
        apart_from.append("refining the last layer")
    return max(0.0, preparing_s) + head_s + training_s + evaluating_s, tuple(apart_from)


def _sources(spec: RunSpec, domains: int) -> int:
    """Return how many domains a run trains on, at least one."""
    has_target = spec.target != NO_TARGET
    return max(1, domains - has_target - (spec.held_out_source is not None))


def _evaluation_s(
    spec: RunSpec,
    like: Run,
    evaluations: Sequence[Evaluated | ArmEvaluated],
    data: DataPrepared,
    image_s: float,
) -> float:
    """Return the seconds of an evaluation, from a run that may differ in augmentation.

    An augmented image takes at most ``image_s``, its time in a training step.
    """
    mean_s = _mean_s(evaluations)
    if spec.augment_validation == like.spec.augment_validation:
        return mean_s
    held_out = sum(each.out_images for each in data.sources)
    if spec.augment_validation:
        return mean_s + held_out * image_s
    plain = held_out + sum(each.images for each in data.domains if not each.is_source)
    return mean_s * plain / (plain + held_out)


def _mean_s(evaluations: Sequence[Evaluated | ArmEvaluated]) -> float:
    return sum(each.wall_s for each in evaluations) / len(evaluations)


def _memory(spec: RunSpec, like: Run, progress: Progress) -> int | None:
    """Return the peak memory of a finished run with the same images and batches."""
    if not _same_images(like.spec, spec) or not isinstance(progress.end, RunFinished):
        return None
    if any(getattr(like.spec, name) != getattr(spec, name) for name in fields_with("memory")):
        return None
    return progress.end.peak_memory_bytes


def _disk(store: Store, spec: RunSpec, runs: Iterable[Run]) -> tuple[int | None, Run | None]:
    """Return the bytes of the checkpoints that the run keeps, from the newest run with this
    optimizer and the most similar tuning and arms."""

    def differs(run: Run) -> tuple[bool, int]:
        return run.spec.tuning != spec.tuning, len(set(run.spec.arms) ^ set(spec.arms))

    alike = [run for run in runs if run.spec.optimizer == spec.optimizer and run.step > 0]
    alike.sort(key=differs)
    for run in alike[:MOST_DISK_RUNS]:
        saved = {each.kind: each.bytes for each in store.checkpoints.saved(run.run_id)}
        if {"best", "last"} <= saved.keys():
            return _kept_bytes(spec, saved["best"], saved["last"]), run
    return None, None


def checkpoint_bytes(spec: RunSpec, network_bytes: int) -> int:
    """Return the bytes of the checkpoints that a run keeps, from the size of its network.

    The last checkpoint contains the network, the optimizer's state, and the sums of averaged
    weights in float64; of SWAD also the sum of its valley, and the means that it stores.
    """
    of_optimizer = 2 if spec.optimizer == "adamw" else int(spec.momentum > 0)
    if spec.tuning == "linear":  # hardly more than the last layer is trained
        of_optimizer = 0
    of_averages = 2 * len(NETWORK_ARMS.intersection(spec.arms))
    if "swad" in spec.arms:
        of_averages += 2 + max(spec.swad_converge, spec.swad_tolerance)
    last_bytes = network_bytes * (1 + of_optimizer + of_averages)
    return _kept_bytes(spec, network_bytes, last_bytes)


def _kept_bytes(spec: RunSpec, best_bytes: int, last_bytes: int) -> int:
    if spec.keep_checkpoints == "none":
        return 0
    networks = 1 + len(NETWORK_ARMS.intersection(spec.arms))
    return networks * best_bytes + (last_bytes if spec.keep_checkpoints == "all" else 0)


def cost_of(
    store: Store, left: Sequence[tuple[RunSpec, float]], counts: CountImages,
    features: FeaturesCost | None = None,
) -> StudyCost:  # fmt: skip
    """Return the cost of runs on this machine, given each spec and the share left to do.

    ``features``: the cost of the features that they read, with measured times for runs without a
    comparable earlier run.

    Raises:
        StoreError: when the history cannot be read.
    """
    alike: dict[Any, list[RunSpec]] = defaultdict(list)
    for spec, _ in left:
        alike[_deciding(spec)].append(spec)
    forecasts = _forecasts(store, (group[0] for group in alike.values()), counts)
    known, measured = [], 0
    for spec, share in left:
        wall_s = forecasts[_deciding(spec)].wall_s
        if wall_s is None and features is not None:
            wall_s = features.run_s(spec)
            measured += wall_s is not None
        if wall_s is not None:
            known.append(wall_s * share)
    return StudyCost(
        runs=len(left),
        wall_s=sum(known),
        unknown=len(left) - len(known),
        wall_from=_basis(alike, forecasts),
        disk_bytes=_disk_of_all(alike, forecasts),
        largest=largest_field(spec for spec, _ in left),
        features=features,
        measured=measured,
    )


def seconds_of(store: Store, left: Sequence[tuple[RunSpec, float]]) -> list[float | None]:
    """Return the seconds that each run takes on this machine, given its spec and the share left
    to do; None: unknown.

    Raises:
        StoreError: when the history cannot be read.
    """
    firsts = {_deciding(spec): spec for spec, _ in left}
    forecasts = _forecasts(store, firsts.values(), lambda *_: None)
    whole = [forecasts[_deciding(spec)].wall_s for spec, _ in left]
    return [
        None if wall_s is None else wall_s * share
        for wall_s, (_, share) in zip(whole, left, strict=True)
    ]


def _forecasts(store: Store, specs: Iterable[RunSpec], counts: CountImages) -> dict[Any, Forecast]:
    """Return forecasts on this host, by the fields that they depend on."""
    host = socket.gethostname()
    return {
        _deciding(spec): forecast(
            store, spec, host=host, counts=counts(spec.dataset, spec.data_dir)
        )
        for spec in specs
    }


def with_disk(
    cost: StudyCost, specs: Iterable[RunSpec], network_sizes: Mapping[str, int]
) -> StudyCost:
    """Return the cost with the disk space of all runs, from earlier runs or, failing that, from
    the sizes of their networks."""
    specs = list(specs)
    if cost.disk_bytes is not None or not {spec.model for spec in specs} <= network_sizes.keys():
        return cost
    total = sum(checkpoint_bytes(spec, network_sizes[spec.model]) for spec in specs)
    return replace(cost, disk_bytes=total)


def seconds_left(live: Iterable[Run], cost: StudyCost, devices: int) -> float:
    """Return the time (s) until everything is done; ``cost`` excludes the ``live`` runs."""
    running_s = max((_seconds_left(run) for run in live), default=0.0)
    return running_s + cost.seconds(devices)


def _seconds_left(run: Run) -> float:
    """Return a live run's time left; before its own estimate, that of the phase it is in."""
    of_phase = None if run.phase is None else run.phase.seconds_left
    return run.seconds_left or of_phase or 0.0


def _basis(alike: dict[Any, list[RunSpec]], forecasts: dict[Any, Forecast]) -> Run | None:
    def seconds(key: Any) -> float:
        return (forecasts[key].wall_s or 0.0) * len(alike[key])

    return forecasts[max(alike, key=seconds)].wall_from if alike else None


def _disk_of_all(alike: dict[Any, list[RunSpec]], forecasts: dict[Any, Forecast]) -> int | None:
    total = 0
    for key, group in alike.items():
        disk_bytes = forecasts[key].disk_bytes
        if disk_bytes is None:
            return None
        total += disk_bytes * len(group)
    return total


def value_counts(specs: Iterable[RunSpec]) -> dict[str, int]:
    """Return the number of values of each field; targets are counted per data set."""
    values: dict[str, set[Any]] = {name: set() for name in FIELDS}
    targets: dict[tuple[str, str | None], set[str | None]] = defaultdict(set)
    for spec in specs:
        for name, found in values.items():
            found.add(getattr(spec, name))
        targets[spec.dataset, spec.data_dir].add(spec.target)
    counts = {name: len(found) for name, found in values.items()}
    return {**counts, "target": max(map(len, targets.values()), default=0)}


def largest_field(specs: Iterable[RunSpec]) -> FieldCost | None:
    """Return the field with the most values; None: none has several."""
    counts = value_counts(specs)
    name = max(_COUNTED, key=lambda each: counts[each])
    return FieldCost(name, counts[name]) if counts[name] > 1 else None
