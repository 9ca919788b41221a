"""The history of one home: all that the interface asks of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engine.protocol import Combination, RunSpec
from engine.rundir import JobInfo, RunDir
from vld_tui.home import Home
from vld_tui.place import make_folder
from vld_tui.slurm.jobs import Job
from vld_tui.store import create, health, ingest, jobs, prune, queue, trash
from vld_tui.store.arms import ArmResult, read_arms
from vld_tui.store.database import MOST_AT_ONCE, Database
from vld_tui.store.errors import AmbiguousRun, RunNotFound, StoreError
from vld_tui.store.jobs import OpenJob
from vld_tui.store.labels import check_name, check_note, check_tags
from vld_tui.store.last_evaluations import LastEvaluation, read_last_evaluations
from vld_tui.store.lookup import find, find_by_id
from vld_tui.store.metrics import (
    Attempt,
    CheckpointInfo,
    MetricPoint,
    MetricSeries,
    read_attempts,
    read_checkpoints,
    read_metrics,
    read_ood_histories,
    read_series,
)
from vld_tui.store.query import Query
from vld_tui.store.rebuild import (
    DamagedFolder,
    RebuildReport,
    open_or_set_aside,
    rebuild,
    take_in,
    unknown_runs,
)
from vld_tui.store.runs import QUEUED, Run, RunPoint, read_points, read_runs
from vld_tui.store.settings import Value, read_setting, write_setting
from vld_tui.store.summaries import (
    Grouping,
    RunSummary,
    count_groups,
    group_order,
    read_groups,
)
from vld_tui.store.user_data import add_tag, set_label

__all__ = [
    "AmbiguousRun",
    "Attempt",
    "CheckpointInfo",
    "DamagedFolder",
    "MetricPoint",
    "MetricSeries",
    "RebuildReport",
    "RunNotFound",
    "Store",
    "StoreError",
]

LONGEST_HISTORY: Final = 512
OTHERS_S: Final = 60.0
"""How often the run folders are listed for runs that history does not know: a disk that machines
share is slow to list a hundred thousand."""
_ALL = Query()
_STATUSES: Final = """
    SELECT status, count(*) FROM runs INDEXED BY live_runs
    WHERE status IN ('starting', 'running') AND trashed_at IS NULL GROUP BY status
    UNION ALL SELECT status, count(*) FROM runs INDEXED BY queued_runs
    WHERE status = 'queued' AND trashed_at IS NULL GROUP BY status
"""


class Store:
    """An open history. It belongs to the thread that opened it; many may be open at once.

    Every method raises :class:`StoreError` when the database is locked, damaged or cannot be
    written; methods that take a run's id raise :class:`RunNotFound` for an unknown one.
    """

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self._database = database
        self._pace = ingest.Pace()
        self._looked_for_others = -math.inf

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open the history, made or brought up to date where needed.

        One that lies apart from its home is made of the run folders. What others make later is
        taken in by :meth:`look_for_others`, for whoever must know it.

        Raises:
            StoreError: when it is damaged, locked, or written by a newer version.
        """
        path = home.database
        if path.parent == home.path:
            return cls(home, Database.open(path))
        is_new = not path.exists()
        try:
            make_folder(path)
        except OSError as error:
            raise StoreError(f"The history {path} cannot be made: {error.strerror}.") from None
        store = cls(home, Database.open(path))
        if is_new:
            store.look_for_others()
        return store

    @classmethod
    def open_to_rebuild(cls, home: Home) -> tuple[Self, Path | None]:
        """Open the history to read it anew; a damaged database is put aside, never destroyed.

        Returns:
            The history, and where the damaged database lies now; None: it was whole.

        Raises:
            StoreError: when it is locked, written by a newer version, or cannot be put aside.
        """
        database, set_aside = open_or_set_aside(home.database)
        return cls(home, database), set_aside

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_read_only(self) -> bool:
        """Say whether history can only be looked at, as of when it was last written."""
        return self._database.is_read_only

    @property
    def is_replaced(self) -> bool:
        """Say whether another history has taken the place of the one that is open."""
        return self._database.is_replaced

    def create_run(
        self,
        spec: RunSpec,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        combination: Combination | None = None,
        is_queued: bool = False,
    ) -> Run:
        """Make a new run: its folder and its place in history. It has no process yet.

        ``combination``: it trains nothing, but combines the networks of other runs.

        Raises:
            StoreError: for an unusable name or tag, or a folder that cannot be made.
        """
        run_id = create.create_run(
            self._database, self.home, spec, name, tags,
            combination=combination, is_queued=is_queued,
        )  # fmt: skip
        return self.get(run_id)

    def queue_runs(self, specs: Sequence[RunSpec], *, tags: Sequence[str] = ()) -> None:
        """Make many new runs that wait for a slot, in this order, a thousand in a moment.

        Raises:
            StoreError: for an unusable tag, or a folder that cannot be made; those made before
                stay.
        """
        create.create_runs(self._database, self.home, specs, tags, is_queued=True)

    def create_runs(self, specs: Sequence[RunSpec], *, tags: Sequence[str] = ()) -> list[str]:
        """Make many new runs that have no process yet, and return their ids.

        Raises:
            StoreError: see :meth:`queue_runs`.
        """
        return create.create_runs(self._database, self.home, specs, tags, is_queued=False)

    def mark_submitted(self, given: Mapping[str, JobInfo], *, is_found: bool = False) -> None:
        """Record that runs, by their ids, were given to a cluster's jobs; ``is_found``: a while
        ago.

        Raises:
            StoreError: when it cannot be recorded.
        """
        jobs.mark_submitted(self._database, self.home, given, is_found=is_found)

    def take_out_of_job(self, run_id: str) -> None:
        """Record that a run's job passes it over: it is ``stopped`` unless it runs."""
        jobs.take_out(self._database, find_by_id(self._database, run_id))

    def close_job(self, run_id: str) -> None:
        """Take it that a run's job is over: nobody can be asked."""
        jobs.close(self._database, find_by_id(self._database, run_id))

    def open_jobs(self) -> list[OpenJob]:
        """Return the runs whose jobs are not known to be over."""
        return jobs.open_jobs(self._database)

    def runs_with_jobs(self) -> list[Run]:
        """Return the runs that jobs of a cluster work on or will, the oldest first."""
        open_ = (
            "SELECT key FROM runs INDEXED BY open_jobs WHERE job_open = 1 "
            "AND status NOT IN ('finished', 'failed')"
        )
        return read_runs(self._database, f"key IN ({open_}) AND trashed_at IS NULL")

    def note_job(self, known: OpenJob, job: Job) -> None:
        """Record where the job of a run stands, and what follows for the run.

        Raises:
            StoreError: when it cannot be recorded.
        """
        jobs.note(self._database, self.home, known, job)

    def mark_relaunched(self, run_id: str, *, gpu: str | None = None) -> Run:
        """Make a run that was over, or waited, ``starting``.

        Call it when a process is launched on its folder, just before or just after. ``gpu`` is
        the one it was given.
        """
        found = find_by_id(self._database, run_id)
        if found.is_trashed:
            raise StoreError(f"Run {run_id} is in the trash. First: vld restore {run_id}")
        ingest.mark_relaunched(self._database, found.key, found.run_dir(self.home), gpu)
        return self._run(found.key)

    def mark_unlaunched(self, run_id: str, why: str) -> None:
        """Record that no process could be started on a run that waited."""
        found = find_by_id(self._database, run_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE runs SET status = 'failed', error = ?, queue_position = NULL "
                "WHERE key = ? AND status = 'queued'",
                [why, found.key],
            )

    def queue(self) -> list[Run]:
        """Return the runs that wait for a slot of this machine, in order."""
        where = "status = 'queued' AND job_open = 0 AND trashed_at IS NULL"
        return read_runs(self._database, where, order="queue_position")

    def live_runs(self) -> list[Run]:
        """Return the runs that a process should be working on, the oldest first."""
        live = "SELECT key FROM runs INDEXED BY live_runs WHERE status IN ('starting', 'running')"
        where = f"key IN ({live}) AND trashed_at IS NULL"
        return read_runs(self._database, where, order="launched_at")

    def enqueue(self, run_id: str) -> None:
        """Let a run that is over wait for a slot, to go on.

        Raises:
            StoreError: when it is finished, still runs, waits already, or is in the trash.
        """
        run = self.get(run_id)
        if run.trashed_at is not None:
            raise StoreError(f"Run {run_id} is in the trash. First: vld restore {run_id}")
        if run.is_live or run.status in ("finished", QUEUED) or run.has_job:
            with_job = f", with the cluster's job {run.job}" if run.has_job else ""
            raise StoreError(f"Run {run_id} is {run.status}{with_job}.")
        if self.run_dir(run_id).is_copy:
            raise StoreError(f"Run {run_id} is a copy of one elsewhere: it goes on there.")
        with self._database.write() as connection:
            queue.enqueue(connection, find_by_id(self._database, run_id).key)

    def take_out(self, run_id: str) -> None:
        """Take a run out of the queue.

        Raises:
            StoreError: when it does not wait.
        """
        queue.take_out(self._database, find_by_id(self._database, run_id))

    def hold(self, run_id: str, *, is_held: bool = True) -> None:
        """Let the queue pass a run over, or no longer.

        Raises:
            StoreError: when it does not wait.
        """
        queue.hold(self._database, find_by_id(self._database, run_id), is_held=is_held)

    def move_in_queue(self, run_id: str, places: int) -> None:
        """Let a run change places with the next one that waits (1), or the one before (−1).

        Raises:
            StoreError: when it does not wait.
        """
        queue.move(self._database, find_by_id(self._database, run_id), places)

    def setting(self, name: str, kind: type[Value], default: Value) -> Value:
        """Return what a person set for this home; the default when nothing was."""
        return read_setting(self._database, name, kind, default)

    def keep_setting(self, name: str, value: object) -> None:
        """Keep what a person set."""
        write_setting(self._database, name, value)

    def version(self) -> tuple[int, int]:
        """Return what is another whenever history has changed."""
        return self._database.version()

    def refresh(self) -> None:
        """Take in what live runs said since, and notice those that died without a word."""
        if not self._database.is_read_only:
            ingest.refresh_live(self._database, self.home, self._pace)

    def get(self, reference: str, *, in_trash: bool = False) -> Run:
        """Return the run with this id, name, or start of an id; ``@last`` is the newest.

        With ``in_trash`` a run there is preferred, and ``@last`` is the one put there last. Its
        folder is looked into, whatever its status.

        Raises:
            RunNotFound: when there is none.
            AmbiguousRun: when there are several.
        """
        found = find(self._database, reference, in_trash=in_trash)
        if not found.is_trashed and not self._database.is_read_only:
            ingest.look_again(self._database, found.key, found.run_dir(self.home))
        return self._run(found.key)

    def list_runs(
        self,
        query: Query = _ALL,
        *,
        trashed: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Run]:
        """Return the runs that match, as of the last refresh; the newest first by default.

        ``offset`` and ``limit`` choose a page of them.
        """
        return read_runs(
            self._database,
            _condition(query, trashed=trashed),
            query.parameters,
            order=query.order_by,
            offset=offset,
            limit=-1 if limit is None else limit,
        )

    def runs_by_identity(self, identities: Sequence[str]) -> dict[str, list[Run]]:
        """Return the runs that are not in the trash by identity, the oldest first."""
        found: dict[str, list[Run]] = {}
        for start in range(0, len(identities), MOST_AT_ONCE):
            asked = identities[start : start + MOST_AT_ONCE]
            where = f"trashed_at IS NULL AND identity IN ({', '.join('?' * len(asked))})"
            for run in read_runs(self._database, where, asked):
                found.setdefault(str(run.identity), []).append(run)
        return found

    def arms(self, run_ids: Sequence[str]) -> dict[str, list[ArmResult]]:
        """Return what other arms of runs reached; runs without any are left out."""
        return read_arms(self._database, run_ids)

    def last_evaluations(self, run_ids: Sequence[str]) -> dict[tuple[str, str], LastEvaluation]:
        """Return the last evaluation by run and arm; those that lack an accuracy are left out."""
        return read_last_evaluations(self._database, run_ids)

    def count_runs(self, query: Query = _ALL, *, trashed: bool = False) -> int:
        """Return how many runs match."""
        condition = _condition(query, trashed=trashed)
        row = self._database.row(f"SELECT count(*) FROM runs WHERE {condition}", query.parameters)
        return int(row[0]) if row else 0

    def list_groups(
        self,
        query: Query,
        grouping: Grouping,
        *,
        sort: str = "-created",
        offset: int = 0,
        limit: int | None = None,
    ) -> list[RunSummary]:
        """Return the groups that the runs that match make up; the latest first by default."""
        return read_groups(
            self._database,
            _condition(query, trashed=False),
            query.parameters,
            grouping,
            order=group_order(sort),
            offset=offset,
            limit=-1 if limit is None else limit,
        )

    def count_groups(self, query: Query, grouping: Grouping) -> int:
        """Return how many groups the runs that match make up."""
        condition = _condition(query, trashed=False)
        return count_groups(self._database, condition, query.parameters, grouping)

    def count_statuses(self) -> dict[str, int]:
        """Return the number of live and waiting runs by status."""
        return dict(self._database.rows(_STATUSES))

    def metrics(
        self,
        run_id: str,
        *,
        name: str | None = None,
        split: str | None = None,
        domain: str | None = None,
        arm: str | None = None,
        step: int | None = None,
    ) -> list[MetricPoint]:
        """Return measured values by curve and step; None: any."""
        key = find_by_id(self._database, run_id).key
        points = read_metrics(self._database, key, name=name, split=split, domain=domain, step=step)
        return [point for point in points if arm in (None, point.arm)]

    def series(self, run_id: str) -> list[MetricSeries]:
        """Return all measured values, packed."""
        key = find_by_id(self._database, run_id).key
        return read_series(self._database, key, name=None, split=None, domain=None)

    def points(self, query: Query = _ALL, *, limit: int) -> list[RunPoint]:
        """Return the newest evaluated runs that match, as points of the ID–OOD plane."""
        condition = _condition(query, trashed=False)
        return read_points(self._database, condition, query.parameters, limit=limit)

    def ood_histories(self, run_ids: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Return the OOD accuracies of each run's evaluations; runs without any are left out.

        Very many evaluations are thinned out.
        """
        return read_ood_histories(self._database, run_ids, most=LONGEST_HISTORY)

    def timeline(self, run_id: str) -> list[Attempt]:
        """Return the attempts at the run, oldest first."""
        return read_attempts(self._database, find_by_id(self._database, run_id).key)

    def checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Return the run's checkpoints as they were last saved."""
        return read_checkpoints(self._database, find_by_id(self._database, run_id).key)

    def left_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Return the run's checkpoints that are still in its folder."""
        folder = self.run_dir(run_id).path
        return [each for each in self.checkpoints(run_id) if (folder / each.file).is_file()]

    def prunable(self, run_id: str, keep: prune.Keep) -> prune.Prunable:
        """Return what pruning a run would delete, and what it would but for its use."""
        return prune.prunable(self._database, self.run_dir(run_id), keep)

    def prune(self, run_id: str, keep: prune.Keep) -> prune.Prunable:
        """Delete checkpoints of a finished run but those that a run which waits or goes on
        combines; return which those are.

        Raises:
            StoreError: when it is not finished, or a file cannot be deleted.
        """
        return prune.prune(self._database, self.home, run_id, keep)

    def run_dir(self, run_id: str) -> RunDir:
        """Return the run's folder, in the trash or not."""
        return find_by_id(self._database, run_id).run_dir(self.home)

    def set_name(self, run_id: str, name: str) -> None:
        """Rename a run.

        Raises:
            StoreError: for an unusable name.
        """
        set_label(self._database, self.home, run_id, "name", check_name(name))

    def set_tags(self, run_id: str, tags: Sequence[str]) -> None:
        """Replace a run's tags.

        Raises:
            StoreError: for an unusable tag.
        """
        set_label(self._database, self.home, run_id, "tags", " ".join(check_tags(tags)))

    def add_tag(self, run_ids: Sequence[str], tag: str) -> None:
        """Give runs one tag more, a thousand of them in a moment; those in the trash are left out.

        Raises:
            StoreError: for an unusable tag, or when it cannot be written.
        """
        (tag,) = check_tags([tag])
        add_tag(self._database, self.home, run_ids, tag)

    def set_note(self, run_id: str, note: str) -> None:
        """Replace a run's note.

        Raises:
            StoreError: when it is not text.
        """
        set_label(self._database, self.home, run_id, "note", check_note(note))

    def trash(self, run_id: str) -> None:
        """Move a run that is over to the trash.

        Raises:
            StoreError: when it still runs, is there already, or cannot be moved.
        """
        self.get(run_id)  # it may have ended a moment ago
        trash.move_to_trash(self._database, self.home, run_id)

    def restore(self, run_id: str) -> None:
        """Take a run out of the trash.

        Raises:
            StoreError: when it is not there or cannot be moved.
        """
        trash.take_from_trash(self._database, self.home, run_id)

    def empty_trash(self) -> int:
        """Delete what is in the trash for good, and return how many runs that were.

        Raises:
            StoreError: when a folder cannot be deleted.
        """
        return trash.empty_trash(self._database, self.home)

    def discard(self, run_id: str) -> None:
        """Delete a refused run for good: its row and its folder.

        Raises:
            StoreError: when its process lives or its folder cannot be deleted.
        """
        trash.discard(self._database, self.home, run_id)

    def rebuild(self) -> RebuildReport:
        """Read everything anew from the run folders; damaged ones are reported."""
        report = rebuild(self._database, self.home)
        self.refresh()
        return report

    def take_in(self, run_ids: Sequence[str]) -> RebuildReport:
        """Read what the folders of some runs say, which history may not know yet."""
        return take_in(self._database, self.home, run_ids)

    def take_in_others(self) -> RebuildReport:
        """Read the folders of runs that were made where another database is: on another machine
        that has this home, or by a copy that broke off.

        Raises:
            StoreError: when history cannot be read or written.
        """
        return self.take_in(unknown_runs(self._database, self.home))

    def look_for_others(self) -> None:
        """Take in, a while after the last time, what was made where another database of this home
        is; nothing where the only one is in the home.

        Raises:
            StoreError: when history cannot be read or written.
        """
        now = time.monotonic()
        if now - self._looked_for_others < OTHERS_S or self.is_read_only:
            return
        self._looked_for_others = now
        if self.home.database.parent != self.home.path:
            self.take_in_others()

    def health(self) -> dict[str, Any]:
        """Return what is known of the database's state, sizes in bytes."""
        return health.examine(self._database, self.home)

    def _run(self, key: int) -> Run:
        runs = read_runs(self._database, "key = ?", [key])
        if not runs:
            raise RunNotFound("The run was deleted meanwhile.")
        return runs[0]


def _condition(query: Query, *, trashed: bool) -> str:
    place = "trashed_at IS NOT NULL" if trashed else "trashed_at IS NULL"
    return f"{place} AND {query.where}"
