"""Immutable snapshots of studies for the dashboard, and reading them incrementally."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.protocol import UserError
from vld_tui.home import Home
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import find_text, kept_names, kept_path
from vld_tui.study.forecast import StudyCost, cost_of, seconds_left
from vld_tui.study.results.outcomes import Outcome, outcomes_so_far
from vld_tui.study.standing import Standing, devices_of, goes_to_cluster, standing_of


class TimeLeft(NamedTuple):
    """Seconds until the running and queued runs are done, excluding ``unknown`` runs without a
    forecast."""

    seconds: float = 0.0
    unknown: int = 0


class Counts(NamedTuple):
    """The number of a study's runs in each state."""

    finished: int = 0
    live: int = 0
    queued: int = 0
    failed: int = 0
    stopped: int = 0
    missing: int = 0

    @classmethod
    def of(cls, standing: Standing) -> Counts:
        """Return the counts of a standing."""
        return cls(
            len(standing.finished),
            len(standing.live),
            len(standing.queued),
            len(standing.failed),
            len(standing.stopped),
            len(standing.missing),
        )

    @property
    def runs(self) -> int:
        """Return the number of the study's runs."""
        return sum(self)

    @property
    def is_under_way(self) -> bool:
        """Return whether runs are running or queued."""
        return self.live + self.queued > 0


NOTHING: Final = Counts()
NO_TIME: Final = TimeLeft()


@dataclass(frozen=True)
class StudyProgress:
    """The progress of a saved study; ``problem``: why it cannot be read."""

    name: str
    title: str = ""
    counts: Counts = NOTHING
    left: TimeLeft = NO_TIME
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class StudyState:
    """The full state of one study; ``results`` are the outcomes of every arm of its finished runs.

    ``standing`` None: it cannot be read, because of ``problem``. ``is_on_cluster``: a launch
    submits it, as last time. The source returns the same object while nothing changes, so states
    are compared by identity.
    """

    name: str
    standing: Standing | None = None
    results: tuple[Outcome, ...] = ()
    left: TimeLeft = NO_TIME
    problem: str | None = None
    is_on_cluster: bool = False


@dataclass
class _Known:
    """A study as read, with the state of its sources."""

    file: object = None
    study: Study | str = ""
    datasets: HomeDatasets | None = None
    version: object = None
    standing: Standing | None = None
    left: object = None
    cost: StudyCost | None = None


def read_state(store: Store, study: Study) -> StudyState:
    """Return the state of a study, without a forecast.

    Raises:
        StoreError: when history cannot be read.
    """
    standing = standing_of(store, study)
    return StudyState(study.name, standing, _outcomes(store, standing))


class StudyReader:
    """The saved studies of a home, and their standings."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: dict[str, _Known] = {}
        self._listed: tuple[object, tuple[StudyProgress, ...]] | None = None
        self._opened: tuple[object, StudyState] | None = None

    def list(self, store: Store) -> tuple[StudyProgress, ...]:
        """Return each study's progress; the same object while nothing changed.

        Raises:
            StoreError: when history cannot be read.
        """
        names = kept_names(self._home)
        files = tuple(_file_state(kept_path(self._home, name)) for name in names)
        state = (store.database.version(), tuple(names), files)
        if self._listed is None or self._listed[0] != state:
            self._listed = state, tuple(self._progress(store, name) for name in names)
        return self._listed[1]

    def open(self, store: Store, name: str) -> StudyState:
        """Return a study's full state; the same object while nothing changed.

        Raises:
            StoreError: when history cannot be read.
        """
        state = (store.database.version(), name, _file_state(kept_path(self._home, name)))
        if self._opened is None or self._opened[0] != state:
            new, old = self._state(store, name), self._opened[1] if self._opened else None
            is_same = old is not None and vars(old) == vars(new)  # only other runs changed
            self._opened = state, old if old is not None and is_same else new
        return self._opened[1]

    def forget_versions(self) -> None:
        """Clear the caches, since the history may be another one."""
        self._listed = None
        if self._opened is not None:
            self._opened = None, self._opened[1]
        for known in self._known.values():
            known.version = None

    def _progress(self, store: Store, name: str) -> StudyProgress:
        standing = self._standing(store, name)
        if isinstance(standing, str):
            return StudyProgress(name, problem=standing)
        left = self._time_left(store, name, standing)
        return StudyProgress(name, standing.study.title, Counts.of(standing), left)

    def _state(self, store: Store, name: str) -> StudyState:
        standing = self._standing(store, name)
        if isinstance(standing, str):
            return StudyState(name, problem=standing)
        return StudyState(
            name,
            standing,
            _outcomes(store, standing),
            self._time_left(store, name, standing),
            is_on_cluster=goes_to_cluster(self._home, standing.study.name),
        )

    def _standing(self, store: Store, name: str) -> Standing | str:
        """Return a study's standing, or why it cannot be read."""
        known, version = self._known.setdefault(name, _Known()), store.database.version()
        study = self._study(name, known)
        if isinstance(study, str):
            return study
        if known.standing is None or known.version != version:
            known.standing, known.version = standing_of(store, study), version
        return known.standing

    def _study(self, name: str, known: _Known) -> Study | str:
        file = _file_state(kept_path(self._home, name))
        # What was a problem may be solved: a data set may have become available.
        if known.file != file or isinstance(known.study, str):
            known.file, known.standing = file, None
            known.datasets = HomeDatasets(self._home)
            try:
                known.study = find_text(self._home, name).read(self._home, known.datasets)
            except UserError as error:
                known.study = str(error)
        return known.study

    def _time_left(self, store: Store, name: str, standing: Standing) -> TimeLeft:
        """Return the remaining time; the forecast is updated when fewer runs are left."""
        known, devices = self._known[name], devices_of(store)
        left: Any = standing.left
        if known.cost is None or known.left != left:
            counts = known.datasets.known_counts if known.datasets else lambda *_: None
            known.cost, known.left = cost_of(store, left, counts), left
        left_s = seconds_left(standing.live, known.cost, devices)
        return TimeLeft(left_s, known.cost.unknown)


def _outcomes(store: Store, standing: Standing) -> tuple[Outcome, ...]:
    arms = store.series.arms([run.run_id for run in standing.finished])
    return outcomes_so_far(standing, arms)


def _file_state(path: Path) -> object:
    """Return a value that changes when the file is written."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
