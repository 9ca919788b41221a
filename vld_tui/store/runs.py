"""Find, list, count and create runs."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.protocol import (
    CombinationError,
    CombinationSpec,
    RunSpec,
    RunTask,
    decode_combination,
)
from engine.rundir import RunDir, UserData
from vld_tui.home import Home
from vld_tui.runs.run import DAMAGED, Run, RunPoint, name_suffix
from vld_tui.store.columns import insert_task, put_last_in_queue
from vld_tui.store.database import Database, in_parts
from vld_tui.store.errors import QueryError, RunNotFound, StoreError
from vld_tui.store.fields import QUERY_FIELDS
from vld_tui.store.folders import Folders
from vld_tui.store.ingest import LiveRuns
from vld_tui.store.labels import check_name, check_tags, default_name, new_run_id
from vld_tui.store.lookup import Found, find, find_by_id, run_ids
from vld_tui.store.missing_folders import MissingFolders
from vld_tui.store.query import Query, refuse_unknown_words, row_condition, unmatched_values
from vld_tui.store.rows import (
    HAS_NAMESAKE_SQL,
    IS_SOUND_SQL,
    STATUS_SQL,
    decode_measures,
    find_unreadable,
    mixed_fields,
    read_run,
    read_runs,
)
from vld_tui.store.side_by_side import side_by_side
from vld_tui.store.specs import decode_stored_spec, spec_value

_ALL = Query()
_HAS_POINT: Final = (
    f"{STATUS_SQL} <> '{DAMAGED}' AND typeof(id_accuracy) = 'real' AND "
    "typeof(ood_accuracy) = 'real'"
)
"""Whether a run is in the ID–OOD plane."""
_STATUSES: Final = f"""
    SELECT status, count(*) FROM runs INDEXED BY live_runs
    WHERE status IN ('starting', 'running') AND trashed_at IS NULL AND {IS_SOUND_SQL}
    GROUP BY status
    UNION ALL SELECT status, count(*) FROM runs INDEXED BY queued_runs
    WHERE status = 'queued' AND trashed_at IS NULL AND {IS_SOUND_SQL}
    GROUP BY status
"""
MADE_AT_ONCE: Final = 100
"""Runs created per transaction, during which other writers wait."""


class _Draft(NamedTuple):
    """A run that is about to be created."""

    run_dir: RunDir
    task: RunTask
    user: UserData


class Runs:
    """Finds, lists, counts and creates the runs of an open history."""

    def __init__(
        self,
        database: Database,
        home: Home,
        folders: Folders,
        live: LiveRuns,
        missing: MissingFolders,
    ) -> None:
        self._database, self._home, self._folders, self._live = database, home, folders, live
        self._missing = missing

    def get(self, reference: str, *, in_trash: bool = False) -> Run:
        """Return the run with this id, name, or start of an id; ``@last`` is the newest.

        With ``in_trash``, runs in the trash are preferred, and ``@last`` is the last trashed one.
        The run is updated from its folder in any state.

        Raises:
            RunNotFound: when there is none.
            AmbiguousRun: when there are several.
        """
        found = self._find(reference, in_trash=in_trash)
        self._live.look_again(found)
        self._missing.check(found)
        return read_run(self._database, found.key)

    def _find(self, reference: str, *, in_trash: bool) -> Found:
        """Find a run, first reading an unknown folder of that name."""
        try:
            return find(self._database, reference, in_trash=in_trash)
        except RunNotFound:
            if self._database.is_read_only or reference not in run_ids(self._home):
                raise
        self._folders.take_in([reference])
        return find(self._database, reference, in_trash=in_trash)

    def query(self, text: str, *, sort: str | None = None) -> Query:
        """Read a query as a user types it.

        Raises:
            QueryError: for an invalid part, or a word that no run has.
        """
        query = Query.parse(text, sort=sort)
        refuse_unknown_words(self._database, query)
        return query

    def why_nothing_matches(self, query: Query) -> str:
        """Return the values in a query that no run has; empty if each part matches some run."""
        try:
            refuse_unknown_words(self._database, query)
        except QueryError as error:
            return str(error).splitlines()[0]
        return " ".join(unmatched_values(self._database, query))

    def run_dir(self, run_id: str) -> RunDir:
        """Return the run's folder, in the trash or not."""
        return find_by_id(self._database, run_id).run_dir(self._home)

    def find(
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
            row_condition(self._database, query, trashed=trashed),
            query.parameters,
            order=query.order_by,
            offset=offset,
            limit=-1 if limit is None else limit,
        )

    def by_identity(self, identities: Sequence[str]) -> dict[str, list[Run]]:
        """Return the runs that are not in the trash by identity, the oldest first."""
        found: dict[str, list[Run]] = {}
        for places, part in in_parts(identities):
            where = f"trashed_at IS NULL AND identity IN ({places})"
            for run in read_runs(self._database, where, part):
                found.setdefault(str(run.identity), []).append(run)
        return found

    def of_configuration(self, configuration: str) -> list[Run]:
        """Return the runs that are not in the trash of a configuration, the oldest first."""
        where = "trashed_at IS NULL AND configuration = ?"
        return read_runs(self._database, where, (configuration,))

    def other_folders(self, folder: Path) -> list[str]:
        """Return the different paths of runs' images that end like a path: in the same two
        names."""
        ending = f"/{folder.parent.name}/{folder.name}"
        this, like = (msgspec.json.encode(each).decode() for each in (str(folder), ending))
        path = spec_value("data_dir")
        rows = self._database.rows(
            f"SELECT DISTINCT {path} FROM runs WHERE trashed_at IS NULL "
            "AND instr(spec, ?) > 0 AND instr(spec, ?) = 0",
            (like[1:], this),  # with the closing quotation mark
        )
        return sorted(path for (path,) in rows if path is not None and path.endswith(ending))

    def finished_ids(self, query: Query = _ALL) -> list[str]:
        """Return the ids of the finished runs that match, the newest first by default."""
        find_unreadable(self._database)
        condition = row_condition(self._database, query)
        rows = self._database.rows(
            f"SELECT run_id FROM runs WHERE {condition} AND {STATUS_SQL} = 'finished' "
            f"ORDER BY {query.order_by}",
            query.parameters,
        )
        return [run_id for (run_id,) in rows]

    def count(self, query: Query = _ALL, *, trashed: bool = False) -> int:
        """Return how many runs match."""
        condition = row_condition(self._database, query, trashed=trashed)
        return self._database.count(f"runs WHERE {condition}", query.parameters)

    def pinned(self, query: Query, *, most: int) -> tuple[int, Query]:
        """Return how many runs match, and a query that finds them.

        If they are at most ``most``, it names them and does not evaluate the conditions again.
        """
        if not query.conditions:
            return self.count(query), query
        where = row_condition(self._database, query)
        (count, keys) = self._database.rows(
            f"SELECT count(*), json_group_array(key) FROM runs WHERE {where}", query.parameters
        )[0]
        return count, query.of_rows(keys) if count <= most else query

    def agreed_fields(self, query: Query, names: Iterable[str]) -> frozenset[str]:
        """Return the fields in which all matching runs agree; none with damaged or combining
        runs, whose fields may be unknown."""
        found = [QUERY_FIELDS[name] for name in names]
        counts = ", ".join(f"count(DISTINCT ifnull({field.sql}, ''))" for field in found)
        (others, *different) = self._database.rows(
            f"SELECT count(coalesce(damage, combination, nullif(gone, 0))), {counts} FROM runs "
            f"WHERE {row_condition(self._database, query)}",
            query.parameters,
        )[0]
        agreed = (field.name for field, count in zip(found, different, strict=True) if count == 1)
        return frozenset() if others else frozenset(agreed)

    def places(self, query: Query, run_ids: Sequence[str]) -> dict[str, int]:
        """Return where those of some runs that match are in the order of the query, from 0."""
        condition = row_condition(self._database, query)
        rows = self._database.rows(
            f"SELECT run_id, place FROM (SELECT run_id, row_number() OVER (ORDER BY "
            f"{query.order_by}) - 1 AS place FROM runs WHERE {condition}) "
            "WHERE run_id IN (SELECT value FROM json_each(?))",
            (*query.parameters, msgspec.json.encode([*run_ids]).decode()),
        )
        return dict(rows)

    def count_statuses(self) -> dict[str, int]:
        """Return the number of live and queued runs by status."""
        return dict(self._database.rows(_STATUSES))

    def points(self, query: Query = _ALL, *, limit: int) -> list[RunPoint]:
        """Return the newest evaluated runs that match, as points of the ID–OOD plane."""
        where = row_condition(self._database, query)
        rows = self._database.rows(
            f"SELECT run_id, name, {HAS_NAMESAKE_SQL}, id_accuracy, ood_accuracy, "
            f"{spec_value('dropout_rate')}, arm, target, {spec_value('model')}, "
            f"{spec_value('dataset')}, "
            f"{spec_value('augment_validation')}, measures, iif(combination IS NULL, NULL, spec), "
            f"combination FROM runs WHERE {where} AND {_HAS_POINT} "
            f"ORDER BY created_at DESC, key DESC LIMIT {limit}",
            query.parameters,
        )
        found: list[tuple[RunPoint, CombinationSpec | None]] = []
        for row in rows:
            with contextlib.suppress(msgspec.DecodeError, CombinationError):  # listed as damaged
                found.append(_point(*row))
        mixed = mixed_fields(self._database, [combining for _, combining in found if combining])
        return [
            msgspec.structs.replace(point, dropout_rate=None)
            if combining and "dropout_rate" in next(mixed)
            else point
            for point, combining in found
        ]

    def count_points(self, query: Query = _ALL) -> int:
        """Return how many matching runs have a point in that plane."""
        where = row_condition(self._database, query)
        return self._database.count(f"runs WHERE {where} AND {_HAS_POINT}", query.parameters)

    def count_without_ood(self, query: Query = _ALL) -> int:
        """Return how many matching evaluated runs are not in that plane because they have no
        target."""
        where = row_condition(self._database, query)
        return self._database.count(
            f"runs WHERE {where} AND id_accuracy IS NOT NULL AND ood_accuracy IS NULL",
            query.parameters,
        )

    def create(
        self,
        task: RunTask,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        is_queued: bool = False,
    ) -> Run:
        """Create a new run: its folder and its row, optionally queued. It has no process yet.

        Raises:
            StoreError: for an unusable name or tag, or a folder that cannot be made.
        """
        now = time.time()
        user = UserData(
            name=default_name(task) if name is None else check_name(name),
            tags=check_tags(tags),
            created_at=now,
        )
        draft = _Draft(_new_run_dir(self._home, now, ()), task, user)
        _make(self._database, [draft], is_queued=is_queued)
        return self.get(draft.run_dir.run_id)

    def create_many(
        self,
        specs: Sequence[RunSpec],
        *,
        tags: Sequence[str] = (),
        named_by: Collection[str] = (),
        is_queued: bool = False,
    ) -> list[str]:
        """Create many runs in this order, optionally queued, and return their ids.

        ``named_by``: fields that their names contain, see :func:`default_name`.

        They are created in batches: on an error, the runs created so far are complete.

        Raises:
            StoreError: for an unusable tag, or when folders or rows cannot be written.
        """
        tags = check_tags(tags)
        made: list[str] = []
        for start in range(0, len(specs), MADE_AT_ONCE):
            drafts: list[_Draft] = []
            taken: set[Path] = set()
            for spec in specs[start : start + MADE_AT_ONCE]:
                now = time.time()
                user = UserData(default_name(spec, named_by), tags, created_at=now)
                drafts.append(_Draft(_new_run_dir(self._home, now, taken), spec, user))
                taken.add(drafts[-1].run_dir.path)
            _make(self._database, drafts, is_queued=is_queued)
            made += [draft.run_dir.run_id for draft in drafts]
        return made


def _point(*row: Any) -> tuple[RunPoint, CombinationSpec | None]:
    """Return the point of a row, and the task of a combining run."""
    run_id, name, has_namesake, *values, is_augmented, measures, spec, text = row
    combining = None
    if text is not None:
        combining = CombinationSpec(decode_stored_spec(spec), decode_combination(text))
    point = msgspec.structs.replace(
        RunPoint(run_id, f"{name}{name_suffix(run_id) if has_namesake else ''}", *values),
        is_augmented=is_augmented == 1,
        measures=tuple(decode_measures(measures).items()),
    )
    return point, combining


def _new_run_dir(home: Home, now: float, taken: Collection[Path]) -> RunDir:
    """Return the folder of a new id that is not in ``taken``."""
    while True:
        run_id = new_run_id(now)
        run_dir, trashed = home.run_dir(run_id), home.trashed_run_dir(run_id)
        if not (run_dir.path in taken or run_dir.path.exists() or trashed.path.exists()):
            return run_dir


def _make(database: Database, drafts: Sequence[_Draft], *, is_queued: bool) -> None:
    """Create rows and folders, all or none."""
    try:
        with database.write() as connection:
            for run_dir, task, user in drafts:
                key = insert_task(
                    connection, run_dir.run_id, task, user, launched_at=user.created_at
                )
                if is_queued:
                    put_last_in_queue(connection, key)
            side_by_side(_make_folder, drafts)
    except BaseException as error:
        for draft in drafts:
            shutil.rmtree(draft.run_dir.path, ignore_errors=True)
        if isinstance(error, OSError):
            first = drafts[0].run_dir.path
            place = first if len(drafts) == 1 else first.parent
            raise StoreError(f"Cannot create {place}: {error.strerror}.") from None
        if isinstance(error, UnicodeEncodeError):
            raise StoreError(f"The run's values must be text: {error.object!r} is not.") from None
        raise


def _make_folder(draft: _Draft) -> None:
    draft.run_dir.create(draft.task, draft.user)
