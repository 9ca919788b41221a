"""What the dashboard shows: immutable snapshots of the history.

Only workers use a source, never widgets: it reads files and the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from engine.protocol.phases import Phase
from engine.protocol.selection import selection_key
from engine.rundir import RunDir
from vld_tui.home import Home
from vld_tui.launch.notify.process import call_notifier
from vld_tui.launch.queue import Slot, slots_of
from vld_tui.runs.metrics import Attempt, CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import (
    QUEUED,
    Grouping,
    GroupKey,
    GroupRow,
    Run,
    RunPoint,
    RunRow,
    RunSummary,
    TableRow,
)
from vld_tui.runs.run_folder import FolderContents, FolderReader, read_log
from vld_tui.store.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DatabaseUnwritable,
    QueryError,
    SeriesDamaged,
    StoreError,
)
from vld_tui.store.notifications import SendFailure
from vld_tui.store.query import Query, is_one_of
from vld_tui.store.store import Store
from vld_tui.study.results.groups import distinctions
from vld_tui.views.phase import STOPPING
from vld_tui.views.run_columns import FOLDED_FIELDS
from vld_tui.words.numbers import plural

if TYPE_CHECKING:  # numpy is slow to import, and the list of runs does not need it
    from vld_tui.launch.slurm.jobs import JobWatch
    from vld_tui.runs.curves import Curves
    from vld_tui.runs.step_times import StepTimes
    from vld_tui.study.queue_times import QueueForecast, QueueTime
    from vld_tui.study.results.state import StudyProgress, StudyReader, StudyState

LOG_BYTES: Final = 16_384
"""Bytes of events, and of process output, that are read to show the last lines of a run."""
MOST_POINTS: Final = 2_000
MOST_TIMED: Final = 500
"""Maximum number of queued runs whose start is estimated."""
MOST_IN_AGREEMENT: Final = 3_000
"""Maximum number of runs that are searched for fields in which all agree."""
EVERY_RUN: Final = Query()
Attempted = tuple[str, int]
"""A run's id and the number of its attempts."""


@dataclass(frozen=True)
class Interest:
    """What the user looks at: a page of the matching runs, and runs whose curves are drawn.

    ``other`` refers to the run that the opened one is compared with.
    With ``grouping``, page and plane show groups, sorted by ``sort``.
    ``study`` is the opened study; ``studies``: read the progress of every study; ``times``: read
    the times of the steps of watched runs.
    ``sought`` is a run chosen elsewhere, to which the list moves.
    ``near`` is the run under the cursor, then its neighbours, the nearest first. ``marked`` are
    the marked runs.
    """

    query: Query = EVERY_RUN
    grouping: Grouping | None = None
    sort: str = "-created"
    offset: int = 0
    limit: int = 50
    sought: str | None = None
    near: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    opened: str | None = None
    other: str | None = None
    plane: bool = False
    queue: bool = False
    studies: bool = False
    study: str | None = None
    times: bool = False


@dataclass(frozen=True, eq=False)
class RunCurves:
    """A run and its metrics.

    ``reported`` are the run's last events as text, ``log`` the end of its process output.
    The source returns the same object while nothing changed, so equality is identity.
    """

    run: Run
    curves: Curves
    log: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    times: StepTimes | None = None


@dataclass(frozen=True)
class RunDetail:
    """Everything known of the opened run; ``reported_is_cut``: earlier lines were left out."""

    curves: RunCurves
    progress: Progress
    attempts: tuple[Attempt, ...]
    checkpoints: tuple[CheckpointInfo, ...]
    folder: str
    contents: FolderContents = field(default_factory=FolderContents)
    reported: tuple[str, ...] = ()
    reported_is_cut: bool = False


@dataclass(frozen=True)
class OtherRun:
    """The run that ``reference`` names, or why there is none."""

    reference: str
    run: Run | None
    problem: str | None = None


@dataclass(frozen=True)
class QueueState:
    """Running runs, queued runs in order, slots, and the runs of a cluster. ``times`` are those of
    the queued runs, by id."""

    live: tuple[Run, ...] = ()
    waiting: tuple[Run, ...] = ()
    slots: tuple[Slot, ...] = ()
    on_cluster: tuple[Run, ...] = ()
    times: Mapping[str, QueueTime] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """The history of interest at one moment; ``problem``: why it is out of date.

    ``count`` is the number of rows, ``runs`` the number of matching runs, of ``total`` runs,
    ``unmatched`` why none match; ``agreed`` are fields in which all matching runs agree, if there
    are more rows than those of the page. ``offset`` is that of ``rows``, if not the one of
    interest; ``cursor`` the row of the first run of ``near`` that is listed, if rows have moved.
    ``hidden`` marked runs do not match. ``ended`` are the runs that have ended since the previous
    snapshot, ``unsent`` the notifications that have failed since. ``points`` are those of the
    ID–OOD plane, of ``points_total``; it leaves out ``without_ood`` runs.
    """

    interest: Interest = field(default_factory=Interest)
    count: int = 0
    runs: int = 0
    total: int = 0
    unmatched: str = ""
    agreed: frozenset[str] = frozenset()
    rows: tuple[TableRow, ...] = ()
    offset: int | None = None
    cursor: int | None = None
    hidden: int = 0
    live: Mapping[str, int] = field(default_factory=dict)
    watched: tuple[RunCurves, ...] = ()
    opened: RunDetail | None = None
    points: tuple[RunPoint, ...] = ()
    points_total: int = 0
    without_ood: int = 0
    queue: QueueState | None = None
    is_read_only: bool = False
    problem: str | None = None
    ended: tuple[Run, ...] = ()
    unsent: tuple[SendFailure, ...] = ()
    other: OtherRun | None = None
    studies: tuple[StudyProgress, ...] | None = None
    study: StudyState | None = None


class Source(Protocol):
    """Where snapshots come from; used by one thread at a time."""

    def take(self, interest: Interest) -> Snapshot:
        """Return the present state, the same object while nothing changed; may block."""

    def close(self) -> None:
        """Close files."""


@dataclass(frozen=True)
class _Listed:
    """A list of runs that was read: the version of the history, the page that was asked for, and
    the page that is shown, which has the run under the cursor."""

    version: object
    asked: Interest
    shown: Interest
    snapshot: Snapshot


class HistorySource:
    """Snapshots of the history in a home. ``stopping`` are attempts that were asked to stop: a
    signal leaves no file."""

    def __init__(self, home: Home, stopping: Set[Attempted] = frozenset()) -> None:
        self._home, self._stopping = home, stopping
        self._store: Store | None = None
        self._curves: dict[str, tuple[object, RunCurves]] = {}
        self._opened: OpenedRun | None = None
        self._studies: StudyReader | None = None
        self._queue_times: QueueForecast | None = None
        self._jobs: JobWatch | None = None
        self._listed: _Listed | None = None
        self._hidden: tuple[object, int] = (None, 0)
        self._with_stops: tuple[object, object, tuple[TableRow, ...]] = ((), (), ())
        self._last = Snapshot()
        self._live: set[str] = set()
        self._looked_at: tuple[int, int] | None = None

    def take(self, interest: Interest) -> Snapshot:
        """Return the present state, or the previous one with the problem that occurred."""
        try:
            self._last = self._read(interest)
        except StoreError as error:
            self.close()  # the next one may be another file
            return replace(
                self._last,
                interest=interest,
                ended=(),
                unsent=(),
                problem=str(error).splitlines()[0],
            )
        return self._last

    def close(self) -> None:
        """Close the database."""
        self._listed = self._looked_at = None
        if self._studies is not None:
            self._studies.forget_versions()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _read(self, interest: Interest) -> Snapshot:
        if self._store is not None and (
            self._store.database.is_replaced or self._store.database.is_read_only
        ):
            self.close()  # a read-only connection does not notice other writers
        if self._store is None:
            self._store = Store.open(self._home)
        store = self._store
        problem = (
            _refresh(store, looks_for_missing=self._listed is not None)
            or self._problem_with_jobs(store)
            or _unread(store)
            or call_notifier(store)
        )
        watched = tuple(self._watch(store, interest))  # reads run folders: the history may change
        now = replace(
            (listed := self._list(store, interest)),
            rows=self._show_stops(store, listed.rows),
            interest=interest,
            problem=problem,
            watched=watched,
            opened=self._open(store, interest.opened) if interest.opened else None,
            other=_find_other(store, interest.other) if interest.other else None,
            queue=self._read_queue(store) if interest.queue else None,
            studies=self._reader.list(store) if interest.studies else None,
            study=self._reader.open(store, interest.study) if interest.study else None,
            ended=self._read_ended(store),
            unsent=_take_unsent(store),
        )
        return self._last if now == self._last else now

    def _problem_with_jobs(self, store: Store) -> str | None:
        """Refresh the states of the cluster's jobs, if there are any; return any problem."""
        if not store.jobs.open():
            return None
        if self._jobs is None:
            from vld_tui.launch.slurm.jobs import JobWatch  # most homes have no cluster

            self._jobs = JobWatch(self._home)
        return self._jobs.look()

    def _list(self, store: Store, interest: Interest) -> Snapshot:
        """Return what the list of runs shows, the same object while the history is unchanged."""
        version, asked, last = store.database.version(), _listing_of(interest), self._listed
        shown = last.shown if last is not None and last.asked == asked else asked
        if last is None or (last.version, last.shown) != (version, shown):
            try:
                snapshot, shown = _read_list(store, interest, shown, last)
            except QueryError as error:  # an expression that takes too long
                snapshot = Snapshot(
                    total=store.runs.count(),
                    unmatched=str(error),
                    live=store.runs.count_statuses(),
                    is_read_only=store.database.is_read_only,
                )
            last = self._listed = _Listed(version, asked, shown, snapshot)
        if not interest.marked or last.snapshot.runs == last.snapshot.total:
            return last.snapshot
        if not last.snapshot.runs:  # also after an expression that takes too long: not again
            return replace(last.snapshot, hidden=len(interest.marked))
        return replace(last.snapshot, hidden=self._count_hidden(store, version, interest))

    def _is_stopping(self, store: Store, run: Run) -> bool:
        return run.is_live and (
            (run.run_id, run.attempts) in self._stopping
            or store.runs.run_dir(run.run_id).read_stop() is not None
        )

    def _show_stops(self, store: Store, rows: tuple[TableRow, ...]) -> tuple[TableRow, ...]:
        """Return the rows with the runs that were asked to stop, the same while nothing changed."""
        stopping = frozenset(
            row.run.run_id
            for row in rows
            if isinstance(row, RunRow) and self._is_stopping(store, row.run)
        )
        if self._with_stops[0] is not rows or self._with_stops[1] != stopping:
            shown = tuple(
                replace(row, run=_as_stopping(row.run))
                if isinstance(row, RunRow) and row.run.run_id in stopping
                else row
                for row in rows
            )
            self._with_stops = rows, stopping, shown if stopping else rows
        return self._with_stops[2]

    def _count_hidden(self, store: Store, version: object, interest: Interest) -> int:
        """Return how many marked runs do not match."""
        state = (version, interest.query, interest.marked)
        if self._hidden[0] != state:
            try:
                listed = store.runs.count(interest.query.narrowed(is_one_of(interest.marked)))
            except QueryError:  # an expression that takes too long: unknown
                listed = len(interest.marked)
            self._hidden = state, len(interest.marked) - listed
        return self._hidden[1]

    def _read_queue(self, store: Store) -> QueueState:
        """Return the queue, with the times of its first runs."""
        if self._queue_times is None:
            from vld_tui.study.queue_times import QueueForecast  # not needed for the first frame

            self._queue_times = QueueForecast()
        live = tuple(
            _as_stopping(run) if self._is_stopping(store, run) else run
            for run in store.live.runs()
            if not run.has_job
        )
        waiting, slots = tuple(store.queue.runs()), slots_of(store)
        return QueueState(
            live=live,
            waiting=waiting,
            slots=slots,
            on_cluster=tuple(store.jobs.runs()),
            times=self._queue_times.read(store, live, waiting[:MOST_TIMED], len(slots)),
        )

    @property
    def _reader(self) -> StudyReader:
        """Return the reader of studies, created on first use."""
        if self._studies is None:
            from vld_tui.study.results.state import StudyReader  # not needed for the first frame

            self._studies = StudyReader(self._home)
        return self._studies

    def _read_ended(self, store: Store) -> tuple[Run, ...]:
        """Return the runs that have ended since the previous snapshot."""
        if (version := store.database.version()) == self._looked_at:
            return ()
        self._looked_at = version
        live = {run.run_id for run in store.live.runs()}
        gone, self._live = self._live - live, live
        ended = []
        for run_id in sorted(gone):
            try:
                run = store.runs.get(run_id)
            except StoreError:  # deleted in the meantime
                continue
            if not run.is_live and run.status != QUEUED:
                ended.append(run)
        return tuple(ended)

    def _open(self, store: Store, run_id: str) -> RunDetail | None:
        """Return everything known of a run, the same object while nothing changed."""
        curves = self._curves.get(run_id)
        if curves is None:
            return None
        run_dir = store.runs.run_dir(run_id)
        if self._opened is None or self._opened.run_dir != run_dir:
            self._opened = OpenedRun(run_dir)
        return self._opened.read(store, curves[1])

    def _watch(self, store: Store, interest: Interest) -> list[RunCurves]:
        """Return the curves of the watched runs, reading only those that changed."""
        found: dict[str, tuple[object, RunCurves]] = {}
        opened = (interest.opened,) if interest.opened else ()
        for run_id in dict.fromkeys((*interest.watched, *opened)):
            try:
                run = store.runs.get(run_id)
            except StoreError:  # deleted in the meantime
                continue
            run = _as_stopping(run) if self._is_stopping(store, run) else run
            log, _ = read_log(store.runs.run_dir(run_id).log, LOG_BYTES)
            state = (run, log, interest.times)
            before = self._curves.get(run_id)
            if before is not None and before[0] == state:
                found[run_id] = before
            else:
                run_dir = store.runs.run_dir(run_id)
                reported = _last_reported(run_dir, run)
                times = _step_times(run_dir) if interest.times else None
                curves = RunCurves(run, _curves(store, run), log, reported, times)
                found[run_id] = (state, curves)
        self._curves = found
        return [found[run_id][1] for run_id in interest.watched if run_id in found]


def _as_stopping(run: Run) -> Run:
    """Return a run in the phase of one that was asked to stop."""
    return msgspec.structs.replace(run, phase=Phase(STOPPING))


class OpenedRun:
    """Reads everything of one run incrementally."""

    def __init__(self, run_dir: RunDir) -> None:
        from vld_tui.runs.curves import Story  # imports numpy
        from vld_tui.views.event_lines import EventTail

        self.run_dir = run_dir
        self._story = Story(run_dir)
        self._folder = FolderReader(run_dir)
        self._tail = EventTail(run_dir.events)
        self._detail: RunDetail | None = None

    def read(self, store: Store, curves: RunCurves) -> RunDetail:
        """Return everything known of the run, the same object while nothing changed."""
        before, contents = self._detail, self._folder.read()
        reported = self._tail.read(curves.run.task)
        news = (curves, contents, reported)
        if before is not None and not self._story.is_behind:
            known = (before.curves, before.contents, before.reported)
            if all(new is old for new, old in zip(news, known, strict=True)):
                return before
        run_id = curves.run.run_id
        self._detail = RunDetail(
            curves,
            self._story.progress(curves.curves, selection_key(curves.run.spec, curves.run.arm)),
            tuple(store.series.timeline(run_id)),
            tuple(store.checkpoints.left(run_id)),
            str(self.run_dir.path),
            contents,
            reported,
            self._tail.is_cut,
        )
        return self._detail


def _refresh(store: Store, *, looks_for_missing: bool) -> str | None:
    """Update the history; return why that failed, such as a full disk.

    ``looks_for_missing``: look for missing run folders too, which takes long in a large home.
    """
    try:
        store.folders.look_for_others()
        store.live.refresh()
        return store.missing.look() if looks_for_missing else None
    except DatabaseDamaged:
        raise
    except StoreError as error:
        return str(error).splitlines()[0]


def _take_unsent(store: Store) -> tuple[SendFailure, ...]:
    try:
        return tuple(store.notifications.take_failures())
    except (DatabaseLocked, DatabaseUnwritable):  # next time
        return ()


def _unread(store: Store) -> str | None:
    """Return a hint if run folders are missing from the database."""
    folders = store.folders.count_unread()
    if not folders:
        return None
    return f"{plural(folders, 'run folder')} not in the database; run: vld rebuild"


def _last_reported(run_dir: RunDir, run: Run) -> tuple[str, ...]:
    from vld_tui.views.event_lines import EventTail, told_task  # not needed for the first frame

    tail = EventTail(run_dir.events, most_bytes=LOG_BYTES)
    return tail.read(told_task(run, run_dir))


def _step_times(run_dir: RunDir) -> StepTimes | None:
    from vld_tui.runs.step_times import read_step_times  # imports numpy

    return read_step_times(run_dir.events)


def _find_other(store: Store, reference: str) -> OtherRun:
    try:
        return OtherRun(reference, store.runs.get(reference))
    except StoreError as error:
        return OtherRun(reference, None, str(error))


def _listing_of(interest: Interest) -> Interest:
    """Return the parts of an interest that decide what the list shows."""
    return Interest(
        query=interest.query,
        grouping=interest.grouping,
        sort=interest.sort,
        offset=interest.offset,
        limit=interest.limit,
        plane=interest.plane,
        sought=interest.sought,
    )


def _order_of(shown: Interest) -> tuple[object, ...]:
    return shown.query, shown.grouping, shown.sort


def _read_list(
    store: Store, interest: Interest, shown: Interest, last: _Listed | None
) -> tuple[Snapshot, Interest]:
    """Return the page ``shown``, or the one with the run under the cursor if rows have moved, and
    which page it is."""
    asked, grouping = shown.query, shown.grouping
    runs, query = store.runs.pinned(asked, most=MOST_IN_AGREEMENT)
    shown = replace(shown, query=query)
    rows, cursor = _read_rows(store, shown), None
    if last is not None and interest.near:
        is_other = _order_of(last.shown) != (asked, *_order_of(shown)[1:])
        is_same_page = last.shown.offset == shown.offset  # else the user asked for another one
        has_lost = is_same_page and _has_lost(last.snapshot.rows, rows, interest.near[0])
        if is_other or has_lost:
            cursor = _find_row(store, shown, rows, interest.near)
            cursor = 0 if cursor is None and is_other else cursor
    if shown.sought is not None and (last is None or last.asked.sought != shown.sought):
        cursor = _find_row(store, shown, rows, (shown.sought,))
    if cursor is not None and not 0 <= cursor - shown.offset < max(1, len(rows)):
        shown = replace(shown, offset=max(0, cursor - shown.limit // 2))
        rows = _read_rows(store, shown)
    count = runs if grouping is None else store.groups.count(query, grouping)
    is_cut = len(rows) < count and runs <= MOST_IN_AGREEMENT
    points = _read_points(store, shown) if shown.plane else ()
    snapshot = Snapshot(
        count=count,
        runs=runs,
        agreed=store.runs.agreed_fields(query, FOLDED_FIELDS) if is_cut else frozenset(),
        total=store.runs.count() if asked.conditions else runs,
        unmatched="" if runs else store.runs.why_nothing_matches(query),
        rows=rows,
        offset=shown.offset,
        cursor=cursor,
        live=store.runs.count_statuses(),
        points=points,
        points_total=_count_points(store, shown, points, count) if shown.plane else 0,
        without_ood=store.runs.count_without_ood(query) if shown.plane else 0,
        is_read_only=store.database.is_read_only,
    )
    return snapshot, replace(shown, query=asked)


def _has_lost(before: Sequence[TableRow], now: Sequence[TableRow], run_id: str) -> bool:
    """Return whether a run was on a page and no longer is."""
    return any(run_id in row.run_ids for row in before) and not any(
        run_id in row.run_ids for row in now
    )


def _find_row(
    store: Store, shown: Interest, rows: Sequence[TableRow], near: Sequence[str]
) -> int | None:
    """Return the row of the first of some runs that is listed; groups only if on the page."""
    at = {run: shown.offset + place for place, row in enumerate(rows) for run in row.run_ids}
    if near[0] not in at and shown.grouping is None:
        at = store.runs.places(shown.query, near)
    return next((at[run] for run in near if run in at), None)


def _read_rows(store: Store, interest: Interest) -> tuple[TableRow, ...]:
    """Return the visible page of runs or groups."""
    query, offset, limit = interest.query, interest.offset, interest.limit
    if (grouping := interest.grouping) is not None:
        groups = store.groups.find(query, grouping, sort=interest.sort, offset=offset, limit=limit)
        names = group_names(groups, grouping)
        return tuple(
            GroupRow(group, grouping, name) for group, name in zip(groups, names, strict=True)
        )
    runs = store.runs.find(query, offset=offset, limit=limit)
    histories = store.series.ood_histories([run.run_id for run in runs])
    return tuple(RunRow(run, histories.get(run.run_id, ())) for run in runs)


def _read_points(store: Store, interest: Interest) -> tuple[RunPoint, ...]:
    """Return the points of the ID–OOD plane: runs, or the means of groups."""
    if (grouping := interest.grouping) is None:
        return tuple(store.runs.points(interest.query, limit=MOST_POINTS))
    groups = store.groups.find(interest.query, grouping, limit=MOST_POINTS)
    named = zip(groups, group_names(groups, grouping), strict=True)
    points = (group_point(group, grouping, name) for group, name in named)
    return tuple(point for point in points if point is not None)


def _count_points(store: Store, shown: Interest, points: Sequence[RunPoint], count: int) -> int:
    """Return how many matching runs, or groups, have a point."""
    if max(len(points), min(count, MOST_POINTS)) < MOST_POINTS:
        return len(points)  # none was left out
    return store.runs.count_points(shown.query) if shown.grouping is None else count


def group_names(groups: Sequence[RunSummary], grouping: Grouping) -> list[str]:
    """Return a name for each group that distinguishes it from the others."""
    if grouping.is_by_configuration:
        names = [group.newest.name_without_seed for group in groups]
        told = distinctions(names, [group.newest for group in groups])
        return [f"{name}{each}" for name, each in zip(names, told, strict=True)]
    return [f"{grouping.name} {_key_text(group.key)}" for group in groups]


def group_point(summary: RunSummary, grouping: Grouping, name: str) -> RunPoint | None:
    """Return the mean point of several runs; None before an evaluation."""
    if summary.id_accuracy is None or summary.ood_accuracy is None:
        return None
    run = summary.newest
    is_mixed = "dropout_rate" in run.mixed_fields

    def common(field: str) -> bool:
        return grouping.is_by_configuration or grouping.name == field

    return RunPoint(
        run_id=summary.run_ids[0],
        name=f"{name} ×{summary.runs}",
        id_accuracy=summary.id_accuracy.mean,
        ood_accuracy=summary.ood_accuracy.mean,
        dropout_rate=run.dropout_rate if common("dropout_rate") and not is_mixed else None,
        arm=run.arm if common("arm") else None,
        target=summary.target,
        model=run.model if common("model") else None,
        dataset=summary.dataset,
        is_augmented=grouping.is_by_configuration and run.spec.augment_validation,
        measures=tuple(
            (name, (ids and ids.mean, oods and oods.mean))
            for name, (ids, oods) in summary.measures.items()
        ),
    )


def _key_text(key: GroupKey) -> str:
    return "none" if key is None else f"{key:g}" if isinstance(key, float) else str(key)


def _curves(store: Store, run: Run) -> Curves:
    from vld_tui.runs.curves import as_arrays  # imports numpy

    try:
        return as_arrays(store.series.all(run.run_id))
    except SeriesDamaged:  # the rest of the run is still shown
        return {}
