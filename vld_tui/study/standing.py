"""A study's standing: which runs exist and what is left to do; the cost and the place of a launch,
and runs of an earlier recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.protocol import (
    FIELDS,
    NOT_RESULT,
    RunSpec,
    UserError,
    fields_with,
    result_differences,
)
from engine.rundir import write_atomic
from vld_tui.home import Home
from vld_tui.launch.queue import slots_of
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import SlurmSettings, make_settings, settings_as_values
from vld_tui.runs.run import BROKEN_OFF, LIVE, NOT_READABLE, QUEUED, STOPPED, Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import StudyText, find_text, kept_path
from vld_tui.study.define.grid import StudyError
from vld_tui.study.existing import runs_of
from vld_tui.study.features import FeaturesCost
from vld_tui.study.forecast import StudyCost, cost_of, largest_field
from vld_tui.study.teacher import TeacherError, with_teacher

_RANKS: Final = {"finished": 3, "running": 2, "starting": 2, QUEUED: 1}
"""Order in which one of several identical runs is chosen: the most advanced counts."""
_PLACES: Final = (*(name for name in fields_with("place") if name != "data_dir"), "seed")
_NOT_TOLD_BY: Final = NOT_RESULT.union(("data_dir",))
"""Fields that do not distinguish the runs of a study."""
_PLACE_SUFFIX: Final = ".slurm.json"
MOST_UNASKED: Final = 100
"""The most new runs that are launched without confirmation."""


@dataclass(frozen=True)
class Standing:
    """A study's specs, and the run that counts for each (None: missing).

    ``further``: runs of the same cost as what is made of these, which counts for time and disk.
    """

    study: Study
    runs: tuple[Run | None, ...]
    further: tuple[RunSpec, ...] = ()

    @property
    def known(self) -> tuple[Run, ...]:
        """Return the existing runs."""
        return tuple(run for run in self.runs if run is not None)

    @property
    def missing(self) -> tuple[RunSpec, ...]:
        """Return the specs without a run."""
        pairs = zip(self.study.specs, self.runs, strict=True)
        return tuple(spec for spec, run in pairs if run is None)

    @property
    def to_launch(self) -> tuple[tuple[RunSpec, float], ...]:
        """Return the specs that a launch would queue, each with the share of it left to do."""
        return (*((spec, 1.0) for spec in self.missing), *map(_left, self.broken_off))

    @property
    def costs(self) -> tuple[tuple[RunSpec, float], ...]:
        """Return the specs that a launch costs, each with the share of it left to do."""
        return (*self.to_launch, *((spec, 1.0) for spec in self.further))

    @property
    def left(self) -> tuple[tuple[RunSpec, float], ...]:
        """Return the specs that will run without another launch, each with the share left to
        do."""
        return tuple(map(_left, self.queued))

    @property
    def is_under_way(self) -> bool:
        """Return whether runs are running or queued."""
        return bool(self.live or self.queued)

    @property
    def finished(self) -> tuple[Run, ...]:
        """Return the runs that are finished."""
        return self._in("finished")

    @property
    def live(self) -> tuple[Run, ...]:
        """Return the running runs."""
        return self._in(*LIVE)

    @property
    def queued(self) -> tuple[Run, ...]:
        """Return the queued runs."""
        return self._in(QUEUED)

    @property
    def broken_off(self) -> tuple[Run, ...]:
        """Return the runs that failed, crashed or were stopped."""
        return self._in(*BROKEN_OFF)

    @property
    def failed(self) -> tuple[Run, ...]:
        """Return the runs that failed or crashed."""
        return self._in(*(status for status in BROKEN_OFF if status != STOPPED))

    @property
    def stopped(self) -> tuple[Run, ...]:
        """Return the runs that the user stopped."""
        return self._in(STOPPED)

    def _in(self, *statuses: str) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run is not None and run.status in statuses)


def standing_of(store: Store, study: Study) -> Standing:
    """Return a study's standing.

    Raises:
        StoreError: when history cannot be read.
    """
    found = (
        [run for run in runs if run.status not in NOT_READABLE]  # to be rerun
        for runs in runs_of(store, study)
    )
    return Standing(study, tuple(max(runs, key=_rank, default=None) for runs in found))


def refuse_misfits(home: Home, standing: Standing) -> None:
    """Check that the study's settings can be applied to its runs before launching them, and that
    they can learn from their teachers.

    Raises:
        StudyError: with the setting and what to change.
    """
    for identity, run in zip(standing.study.identities, standing.runs, strict=True):
        problem = standing.study.misfits.get(identity)
        if run is None and problem is not None:
            raise StudyError(f"{standing.study.name}: {problem}")
    for spec in standing.missing:
        try:
            with_teacher(home, spec)
        except TeacherError as error:
            raise StudyError(f"{standing.study.name}: {error}") from None


def without_final_weights(store: Store, standing: Standing) -> int:
    """Return how many finished runs lack the last checkpoint although the study keeps it.

    They ran under another name with fewer checkpoints to keep, or were pruned.
    """
    pairs = zip(standing.study.specs, standing.runs, strict=True)
    return sum(
        spec.keep_checkpoints == "all"
        and run is not None
        and run.status == "finished"
        and not store.runs.run_dir(run.run_id).last_checkpoint.is_file()
        for spec, run in pairs
    )


def runs_left_behind(home: Home, study: Study, text: StudyText) -> int:
    """Return how many runs of the study launched earlier under this name are not in the new one."""
    if text.where == str(kept_path(home, study.name)):
        return 0
    return left_behind(_as_it_was(home, study.name), study)


def _as_it_was(home: Home, name: str) -> Study | None:
    """Return the study launched earlier under this name, or None if missing or unreadable."""
    if not kept_path(home, name).is_file():
        return None
    try:
        return find_text(home, name).read(home)
    except UserError:
        return None


def left_behind(before: Study | None, after: Study) -> int:
    """Return how many runs of a study's previous version are no longer in it."""
    return 0 if before is None else len(set(before.identities).difference(after.identities))


def _left(run: Run) -> tuple[RunSpec, float]:
    return run.spec, 1 - run.step / run.steps


def _rank(run: Run) -> tuple[int, int, float]:
    return _RANKS.get(run.status, 0), run.step, run.created_at


class Strays(NamedTuple):
    """The number of finished runs of an earlier recipe, and the newest one's values of the fields
    that changed."""

    runs: int
    values: Mapping[str, Any]


def find_strays(store: Store, standing: Standing) -> Strays | None:
    """Return finished runs that a study does not count only because its recipe has changed, if
    runs are missing.

    Runs that the study itself excludes, by another value of a field that it sets, do not count.

    Raises:
        StoreError: when the history cannot be read.
    """
    study = standing.study
    if not standing.missing:
        return None
    own = set(study.identities)
    named = [*_PLACES, *(name for name in study.declared if name not in _NOT_TOLD_BY)]
    asked = {tuple(getattr(spec, name) for name in named): spec for spec in standing.missing}
    strays = [
        (run.spec, spec)
        for run in store.runs.find(Query.parse(f'tag:"{study.name}" status:finished'))
        if run.combination is None
        and run.identity not in own
        and (spec := asked.get(tuple(getattr(run.spec, name) for name in named))) is not None
    ]
    if not strays:
        return None
    values: dict[str, Any] = {}
    for stray, spec in strays:  # a seed of 0 hides that the split followed it
        for name in result_differences(stray, spec):
            values.setdefault(name, getattr(stray, name))
    return Strays(len(strays), {name: values[name] for name in FIELDS if name in values})


def last_place(home: Home, name: str) -> SlurmSettings | None:
    """Return the study's last job settings, or None if it last ran on this machine.

    Raises:
        StudyError: when they cannot be read.
    """
    path = _path(home, name)
    try:
        return make_settings(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, SlurmError) as error:
        raise StudyError(
            f"Cannot read {path}: {str(error).removesuffix('.')}.\n"
            "Delete it, and choose with --on where the study runs."
        ) from None


def goes_to_cluster(home: Home, name: str) -> bool:
    """Return whether the study was last launched on a cluster."""
    return _path(home, name).exists()


def remember_place(home: Home, name: str, settings: SlurmSettings | None) -> None:
    """Remember where a study was launched; None: on this machine.

    Raises:
        StudyError: when it cannot be written.
    """
    path = _path(home, name)
    try:
        if settings is None:
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, msgspec.json.encode(settings_as_values(settings)))
    except OSError as error:
        raise StudyError(f"Cannot write to {path}: {error.strerror}.") from None


def _path(home: Home, name: str) -> Path:
    return home.studies / f"{name}{_PLACE_SUFFIX}"


@dataclass(frozen=True)
class LaunchPlan:
    """The plan of a launch.

    ``refusal``: why it is not possible here. ``gone``: how many runs of its previous launch are no
    longer in the study.
    """

    standing: Standing
    cost: StudyCost
    devices: int
    refusal: str | None = None
    gone: int = 0


def plan_launch(
    store: Store,
    reference: str | StudyText,
    cost: Callable[[Store, Standing, HomeDatasets], StudyCost],
) -> LaunchPlan:
    """Return the plan of launching a study, given by reference or text; ``cost`` returns its cost.

    Raises:
        StudyError: when it does not exist or is invalid.
        DatasetError, LaunchError: when a data set is unknown or cannot be read.
        StoreError: when the history cannot be read.
    """
    datasets = HomeDatasets(store.home)
    text = reference if isinstance(reference, StudyText) else find_text(store.home, reference)
    study = text.read(store.home, datasets)
    store.live.refresh()
    standing = standing_of(store, study)
    refuse_misfits(store.home, standing)
    return LaunchPlan(
        standing,
        cost(store, standing, datasets),
        devices_of(store),
        datasets.refusal,
        runs_left_behind(store.home, study, text),
    )


def cost_to_launch(
    store: Store, standing: Standing, datasets: HomeDatasets, features: FeaturesCost | None = None
) -> StudyCost:
    """Return the cost on this machine of the runs that a launch would queue, of their
    ``features``, and of what is made of them."""
    cost = cost_of(store, standing.costs, datasets.known_counts, features)
    return replace(cost, largest=largest_field(spec for spec, _ in standing.to_launch))


def devices_of(store: Store) -> int:
    """Return the number of devices of the queue; slots that share a device are not faster."""
    return len(set(slots_of(store)))
