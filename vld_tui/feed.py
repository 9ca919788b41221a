"""What the dashboard shows, read from history as unchanging snapshots.

A source is asked by a worker, never by a widget: it reads files and the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from vld_tui.home import Home
from vld_tui.queue.slots import Slot, slots_of
from vld_tui.store.errors import StoreError
from vld_tui.store.metrics import Attempt, CheckpointInfo
from vld_tui.store.query import Query
from vld_tui.store.runs import Run, RunPoint
from vld_tui.store.store import Store
from vld_tui.views.progress import Progress

if TYPE_CHECKING:  # numpy takes a moment, and the list of runs does not need it
    from vld_tui.story import Story
    from vld_tui.views.raster import Values

LOG_BYTES: Final = 16_384
MOST_POINTS: Final = 2_000
EVERY_RUN: Final = Query()

CurveKey = tuple[str, str, str]
"""Split, domain and name of a metric."""
ID_CURVE: Final[CurveKey] = ("out", "id", "accuracy")
OOD_CURVE: Final[CurveKey] = ("in", "ood", "accuracy")
LOSS_CURVE: Final[CurveKey] = ("train", "sources", "loss")


@dataclass(frozen=True)
class Interest:
    """What a person looks at: a page of the runs that match, and runs whose curves are drawn."""

    query: Query = EVERY_RUN
    offset: int = 0
    limit: int = 50
    watched: tuple[str, ...] = ()
    opened: str | None = None
    plane: bool = False
    queue: bool = False


@dataclass(frozen=True)
class RunRow:
    """A line of the run table: the run, and its OOD accuracy at every evaluation."""

    run: Run
    ood_history: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class RunCurves:
    """A run and its metrics: (n,) steps and (n,) values of each; NaN: not finite.

    The source hands out the same object while nothing happened, so that is what equal means.
    """

    run: Run
    curves: Mapping[CurveKey, tuple[Values, Values]]
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunDetail:
    """Everything known of the run that was opened."""

    curves: RunCurves
    progress: Progress
    attempts: tuple[Attempt, ...]
    checkpoints: tuple[CheckpointInfo, ...]
    folder: str


@dataclass(frozen=True)
class QueueState:
    """What goes on, what waits in which order, and what there is room for."""

    live: tuple[Run, ...] = ()
    waiting: tuple[Run, ...] = ()
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """History at one moment, as far as it is of interest; ``problem``: why it is not newer."""

    interest: Interest = field(default_factory=Interest)
    count: int = 0
    rows: tuple[RunRow, ...] = ()
    live: Mapping[str, int] = field(default_factory=dict)
    watched: tuple[RunCurves, ...] = ()
    opened: RunDetail | None = None
    points: tuple[RunPoint, ...] = ()
    queue: QueueState | None = None
    problem: str | None = None


class Source(Protocol):
    """Where snapshots come from; used by one thread at a time."""

    def take(self, interest: Interest) -> Snapshot:
        """Return how things stand now, the same object while nothing changed; may block."""

    def close(self) -> None:
        """Let go of files."""


class HistorySource:
    """Snapshots of the history in a home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._store: Store | None = None
        self._curves: dict[str, tuple[object, RunCurves]] = {}
        self._opened: RunDetail | None = None
        self._stories: dict[Path, Story] = {}
        self._listed: tuple[object, Snapshot] | None = None
        self._last = Snapshot()

    def take(self, interest: Interest) -> Snapshot:
        """Return how things stand now, or how they stood with the problem that came up."""
        try:
            self._last = self._read(interest)
        except StoreError as error:
            return Snapshot(
                interest, self._last.count, self._last.rows, problem=str(error).splitlines()[0]
            )
        return self._last

    def close(self) -> None:
        """Close the database."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _read(self, interest: Interest) -> Snapshot:
        if self._store is None:
            self._store = Store.open(self._home)
        store = self._store
        store.refresh()
        watched = tuple(self._watch(store, interest))  # looks into folders: history may change
        listed = self._list(store, interest)
        opened = self._open(store, interest.opened) if interest.opened else None
        queue = _read_queue(store) if interest.queue else None
        now = replace(listed, interest=interest, watched=watched, opened=opened, queue=queue)
        return self._last if now == self._last else now

    def _list(self, store: Store, interest: Interest) -> Snapshot:
        """Return what the list of runs shows; the same as before while history is the same."""
        state = (
            store.version(), interest.query, interest.offset, interest.limit, interest.plane
        )  # fmt: skip
        if self._listed is None or self._listed[0] != state:
            query = interest.query
            runs = store.list_runs(query, offset=interest.offset, limit=interest.limit)
            histories = store.ood_histories([run.run_id for run in runs])
            listed = Snapshot(
                count=store.count_runs(query),
                rows=tuple(RunRow(run, histories.get(run.run_id, ())) for run in runs),
                live=store.count_statuses(),
                points=tuple(store.points(query, limit=MOST_POINTS)) if interest.plane else (),
            )
            self._listed = (state, listed)
        return self._listed[1]

    def _open(self, store: Store, run_id: str) -> RunDetail | None:
        """Return everything known of a run; the same as before while nothing happened."""
        curves = self._curves.get(run_id)
        if curves is None:
            return None
        run_dir = store.run_dir(run_id)
        if (story := self._stories.get(run_dir.path)) is None:
            from vld_tui.story import Story  # noqa: PLC0415 - imports numpy

            story = Story(run_dir)
            self._stories, self._opened = {run_dir.path: story}, None
        if self._opened is None or self._opened.curves is not curves[1] or story.is_behind:
            self._opened = RunDetail(
                curves[1],
                story.progress(curves[1].curves),
                tuple(store.timeline(run_id)),
                tuple(store.checkpoints(run_id)),
                str(run_dir.path),
            )
        return self._opened

    def _watch(self, store: Store, interest: Interest) -> list[RunCurves]:
        """Return the curves of the watched runs, read anew where something happened."""
        found: dict[str, tuple[object, RunCurves]] = {}
        opened = (interest.opened,) if interest.opened else ()
        for run_id in dict.fromkeys((*interest.watched, *opened)):
            try:
                run = store.get(run_id)
            except StoreError:  # deleted meanwhile
                continue
            log = _log_tail(store, run_id)
            state = (run, log)
            before = self._curves.get(run_id)
            if before is not None and before[0] == state:
                found[run_id] = before
            else:
                found[run_id] = (state, RunCurves(run, _curves(store, run_id), log))
        self._curves = found
        return [found[run_id][1] for run_id in interest.watched if run_id in found]


def _read_queue(store: Store) -> QueueState:
    return QueueState(tuple(store.live_runs()), tuple(store.queue()), slots_of(store))


def _curves(store: Store, run_id: str) -> Mapping[CurveKey, tuple[Values, Values]]:
    from vld_tui.curves import as_arrays  # noqa: PLC0415 - imports numpy

    return as_arrays(store.series(run_id))


def _log_tail(store: Store, run_id: str) -> tuple[str, ...]:
    """Return the last lines of a run's log."""
    try:
        with store.run_dir(run_id).log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            return tuple(file.read().decode(errors="replace").splitlines()[-200:])
    except OSError:
        return ()
