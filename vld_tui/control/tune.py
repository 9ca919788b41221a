"""Tune without a target: compare settings on domains left out in turn, then train on every domain
and average the seeds."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import msgspec

from engine.protocol import NO_TARGET, RunSpec, UserError, resolve_new_spec, value_in
from engine.protocol.measures import ACCURACY
from engine.protocol.methods import JOINED_BY, OBJECTIVES
from engine.protocol.selection import criterion_of
from vld_tui.control.combine import Method, plan_combination
from vld_tui.control.queue import work_on_queue
from vld_tui.control.study import launch
from vld_tui.home import Home
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.submit import Cluster, Submission, submit_runs
from vld_tui.runs.run import BROKEN_OFF, Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import StudyText, kept_path, only_launch
from vld_tui.study.define.tuning import (
    SET_BY_TUNING,
    TuneGrid,
    TuneRequest,
    Tuning,
    keep_tuning,
    read_tuning,
)
from vld_tui.study.features import FeaturesCost
from vld_tui.study.forecast import forecast
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.results.outcomes import gather
from vld_tui.study.results.tuning import TunedSetting, tuned_setting
from vld_tui.study.standing import Standing, cost_to_launch, devices_of, standing_of

Stage = Literal["compare", "train", "combine", "done"]
SOUPS: Final[tuple[Method, ...]] = ("soup", "greedy_soup")


class TuneError(UserError):
    """Tuning is not possible as asked; the message gives the reason and what to do."""


class OneDomainError(TuneError):
    """Images of a single domain: no domain can be left out."""


class OtherTuningError(TuneError):
    """A study of the same name was made for something else; ``command`` continues it."""

    def __init__(self, message: str, command: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.command = tuple(command)


class Network(NamedTuple):
    """A finished network that was trained on every domain, or a soup of several, and its ID score
    (0 to 1), of the measure that selects a step; None: unknown."""

    run: Run
    score: float | None


@dataclass(frozen=True)
class TuningState:
    """How far a tuning study is.

    ``standing`` is of the runs that leave a domain out and, with ``tuned``, of those on every
    domain. ``soups`` are the runs that combine these.
    """

    tuning: Tuning
    grid: TuneGrid
    text: StudyText
    standing: Standing
    tuned: TunedSetting | None = None
    soups: tuple[Run, ...] = ()

    @property
    def study(self) -> Study:
        """Return the study."""
        return self.standing.study

    @property
    def finals(self) -> tuple[Run, ...]:
        """Return the finished runs that trained on every domain."""
        return tuple(run for run in self.standing.finished if run.spec.target == NO_TARGET)

    @property
    def stage(self) -> Stage:
        """Return what is to be done next."""
        if self.tuned is None:
            return "compare"
        if len(self.standing.finished) < len(self.study.specs):
            return "train"
        made = {run.combination.method for run in self.soups
                if run.combination is not None and run.status == "finished"}  # fmt: skip
        return "combine" if self.grid.seeds > 1 and not made.issuperset(SOUPS) else "done"

    @property
    def runs(self) -> tuple[Run, ...]:
        """Return the existing runs."""
        return (*self.standing.known, *self.soups)

    @property
    def total(self) -> int:
        """Return the number of runs of everything up to this stage."""
        soups = len(SOUPS) if self.stage == "combine" else 0
        return len(self.study.specs) + soups

    @property
    def networks(self) -> tuple[Network, ...]:
        """Return the networks trained on every domain, the best on ID validation first; of equals,
        soups first, and of these the one of more networks."""
        soups = [run for run in self.soups if run.status == "finished"]
        found = [Network(run, id_score(run)) for run in (*soups, *self.finals)]
        return tuple(sorted(found, key=lambda each: 1.0 if each.score is None else -each.score))


def id_score(run: Run) -> float | None:
    """Return the ID score (0 to 1) of the measure that selects a run's step; None: unknown."""
    name = criterion_of(run.spec).metric
    measured = None if name == ACCURACY else value_in(run.measures, name, 0)
    return run.id_accuracy if measured is None else measured


def open_tuning(
    home: Home, request: TuneRequest, name: str, datasets: HomeDatasets
) -> tuple[Tuning, TuneGrid]:
    """Return a tuning study, as it is kept if the same was asked before, and its full grid.

    Raises:
        OneDomainError: when the images have one domain.
        OtherTuningError: when another study has the name.
        TuneError, SpecError: when a field cannot be given, or its value is invalid.
        DatasetError, LaunchError: when the images are unknown or cannot be read.
        StudyError: when what is kept cannot be read.
    """
    if given := [field for field in SET_BY_TUNING if field in request.fields]:
        raise TuneError(f"vld tune sets {given[0]} itself; remove it.")
    _refuse_teacher(request)
    spec = _spec(request, datasets)
    domains = datasets.domains(spec.dataset, spec.data_dir, spec.layout)
    if len(domains) < 2:
        raise OneDomainError(
            f"{spec.dataset} has one domain only ({', '.join(domains)}): OOD accuracy cannot be "
            "estimated, and no setting can be chosen by it."
        )
    full = request.grid(spec.lr, spec.weight_decay)
    is_kept = kept_path(home, name).is_file()
    kept = read_tuning(home, name) if is_kept else None
    if kept is not None and not kept.request.is_same(request):
        raise OtherTuningError(
            f"The study {name} was started with other settings.", kept.request.command(name)
        )
    if kept is None and is_kept:
        raise OtherTuningError(f"{kept_path(home, name)} is another study named {name}.")
    if kept is not None and kept.request.budget_s == request.budget_s:
        return kept, full
    return Tuning(name=name, request=request), full


def _refuse_teacher(request: TuneRequest) -> None:
    names = str(request.fields.get("objective", "")).split(JOINED_BY)
    taught = [name for name in names if name in OBJECTIVES and "teacher" in OBJECTIVES[name].needs]
    if taught:
        raise TuneError(
            f"The objective {taught[0]} cannot be tuned: the runs leave out different domains, and "
            "their teachers would have to leave out the same ones.\nUse a study with "
            'teacher = "study" instead, such as: vld sweep paper-b --print'
        )


def _spec(request: TuneRequest, datasets: HomeDatasets) -> RunSpec:
    """Return the spec of a run on every domain, to check the fields that are given."""
    images = {"data_dir" if "/" in request.data else "dataset": request.data}
    return resolve_new_spec(datasets.locate({**request.fields, **images, "target": NO_TARGET}))


def settle(home: Home, tuning: Tuning, full: TuneGrid, grid: TuneGrid | None = None) -> Tuning:
    """Settle and keep which grid is run; None: the full one."""
    grid = grid or full
    settled = msgspec.structs.replace(tuning, grid=grid, left_out=full.without(grid))
    keep_tuning(home, settled)
    return settled


def planned(store: Store, tuning: Tuning, grid: TuneGrid, datasets: HomeDatasets) -> Standing:
    """Return the standing of all runs, with those on every domain at a setting of the same cost as
    the one to be chosen, and the soups of them."""
    study = tuning.text(grid, grid.usual).read(store.home, datasets)
    return _with_soups(standing_of(store, study), grid)


def _with_soups(standing: Standing, grid: TuneGrid) -> Standing:
    """Return a standing that counts the cost of soups, as that of runs with as many evaluations.

    A soup evaluates every network, the mean of the best and each other one, and the result; a
    greedy one also each mean that it tries.
    """
    if grid.seeds == 1:
        return standing
    final = next(spec for spec in standing.study.specs if spec.target == NO_TARGET)
    evaluations = {"soup": 2 * grid.seeds, "greedy_soup": 3 * grid.seeds - 1}
    soups = tuple(
        msgspec.structs.replace(
            final, steps=evaluations[method], eval_every=1, eval_from=None, head_steps=0, arms=(),
            keep_checkpoints="best",
        )
        for method in SOUPS
    )  # fmt: skip
    return replace(standing, further=soups)


def left_to_do(store: Store, state: TuningState, datasets: HomeDatasets) -> Standing:
    """Return the standing of all runs and of the soups to come; before the choice, as
    :func:`planned`."""
    if state.tuned is None:
        return planned(store, state.tuning, state.grid, datasets)
    return state.standing if state.stage == "done" else _with_soups(state.standing, state.grid)


def has_known_time(store: Store, spec: RunSpec, datasets: HomeDatasets) -> bool:
    """Return whether the time of a run on this machine can be estimated from an earlier one.

    Raises:
        StoreError: when the history cannot be read.
    """
    counts = datasets.known_counts(spec.dataset, spec.data_dir)
    return forecast(store, spec, host=socket.gethostname(), counts=counts).wall_s is not None


def fit_budget(
    store: Store, tuning: Tuning, full: TuneGrid, datasets: HomeDatasets, *, spent_s: float = 0.0
) -> TuneGrid | None:
    """Return the largest grid that fits the budget of a study; None: its time is not known.

    ``spent_s``: seconds that were spent already.

    Raises:
        TuneError: when none fits.
    """
    budget_s = tuning.request.budget_s
    if budget_s is None:
        return full
    features: FeaturesCost | None = None
    needed_s = spent_s
    for grid in (full, *full.smaller()):
        standing = planned(store, tuning, grid, datasets)
        cost = cost_to_launch(store, standing, datasets, features)
        if grid is full:
            specs = [spec for spec, _ in standing.costs]
            features = LocalPlanner(store.home).features(
                specs, datasets.known_counts, times_steps=cost.unknown > 0
            )
            cost = cost_to_launch(store, standing, datasets, features)
        if cost.unknown:
            return None
        needed_s = spent_s + cost.seconds(devices_of(store))
        if needed_s <= budget_s:
            return grid
    raise BudgetTooSmall(needed_s)


class BudgetTooSmall(TuneError):  # noqa: N818 - what it says
    """Not even the smallest grid fits: it takes ``needed_s`` seconds."""

    def __init__(self, needed_s: float) -> None:
        super().__init__("The budget is too small.")
        self.needed_s = needed_s


def look(store: Store, tuning: Tuning, grid: TuneGrid, datasets: HomeDatasets) -> TuningState:
    """Return how far the study is; the setting is chosen when all runs that leave a domain out have
    finished.

    Raises:
        StudyError, DatasetError, LaunchError, StoreError: when it cannot be read.
    """
    text = tuning.text(grid)
    study = text.read(store.home, datasets)
    standing = standing_of(store, study)
    if len(standing.finished) < len(study.specs):
        return TuningState(tuning, grid, text, standing)
    gathered = gather(store, study)
    if len(gathered.runs) < len(study.specs):
        raise TuneError(
            f"{len(study.specs) - len(gathered.runs)} finished runs of {study.name} have no "
            "result.\nRemove them (vld rm), and repeat the command."
        )
    tuned = tuned_setting(gathered.results)
    text = tuning.text(grid, tuned.values)
    study = text.read(store.home, datasets)
    state = TuningState(tuning, grid, text, standing_of(store, study), tuned)
    if len(state.finals) < grid.seeds:
        return state
    soups = _soups(store, state.study.name, state.finals)
    return TuningState(tuning, grid, text, state.standing, tuned, soups)


def _soups(store: Store, name: str, finals: Sequence[Run]) -> tuple[Run, ...]:
    """Return the newest soup of each method of exactly the runs on every domain."""
    parents = {run.run_id for run in finals}
    found: dict[str, Run] = {}
    for run in store.runs.find(Query.parse(f'tag:"{name}"'))[::-1]:
        combined = run.combination
        if combined is not None and {each.run_id for each in combined.parents} == parents:
            known = found.get(combined.method)
            if known is None or known.status != "finished":
                found[combined.method] = run
    return tuple(found[method] for method in SOUPS if method in found)


def awaits_networks(store: Store, name: str, runs: Sequence[Run]) -> bool:
    """Return whether ``vld tune`` makes further networks after these runs of a study have ended.

    False for studies of another kind, and when a run on every domain has failed.

    Raises:
        StoreError: when the history cannot be read.
    """
    if read_tuning(store.home, name) is None:
        return False
    finals = [run for run in runs if run.spec.target == NO_TARGET]
    if any(run.status != "finished" for run in finals):
        return False
    soups = [run.status == "finished" for run in _soups(store, name, finals)]
    return not finals or (len(finals) > 1 and soups.count(True) < len(SOUPS))


def runs_now(store: Store, state: TuningState) -> tuple[Run, ...]:
    """Return the runs of the stage as they are in history now.

    Raises:
        StoreError: when it cannot be read.
    """
    known = standing_of(store, state.study).known
    soups = _soups(store, state.study.name, state.finals) if state.stage == "combine" else ()
    return (*known, *soups)


def advance(
    store: Store, state: TuningState, cluster: Cluster | None = None, *, slots: int | None = None
) -> Submission | None:
    """Queue what is missing in the stage, or submit it to a cluster; return what was submitted.

    ``slots``: see :func:`~vld_tui.control.queue.work_on_queue`.

    Raises:
        StudyError, StoreError, LaunchError: when runs cannot be created.
        CombinationError: when the networks cannot be combined.
        SlurmError: when the cluster accepts nothing.
    """
    if state.stage in ("compare", "train"):
        return launch(store, state.study, state.text, cluster, slots=slots).submission
    if state.stage == "combine":
        return _combine(store, state, cluster, slots)
    return None


def _combine(
    store: Store, state: TuningState, cluster: Cluster | None, slots: int | None
) -> Submission | None:
    tags, is_queued = (state.study.name,), cluster is None
    with only_launch(store.home):
        soups = _soups(store, state.study.name, state.finals)
        known = [run.combination.method for run in soups if run.combination is not None]
        ended = [run.run_id for run in soups if run.status in BROKEN_OFF and not run.has_job]
        made = []
        for method in SOUPS:
            if method not in known:
                task = plan_combination(store, method, state.finals, at="best")
                made.append(store.runs.create(task, tags=tags, is_queued=is_queued).run_id)
        if cluster is not None:
            return _submit(store, cluster, ended, made)
        for run_id in ended:
            store.queue.add(run_id)
    work_on_queue(store, slots)
    return None


def _submit(
    store: Store, cluster: Cluster, ended: Sequence[str], made: Sequence[str]
) -> Submission:
    try:
        runs = [*ended, *made]
        submission = submit_runs(store, cluster, runs) if runs else Submission()
    except SlurmError:
        for run_id in made:
            store.trash.discard(run_id)
        raise
    for run_id in set(submission.left).intersection(made):
        store.trash.discard(run_id)
    return submission
