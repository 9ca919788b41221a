"""Find, list and count runs of an open history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.rundir import RunDir
from vld_tui.runs.run import DAMAGED, Grouping, Run, RunPoint, RunSummary
from vld_tui.store import ingest
from vld_tui.store.database import MOST_AT_ONCE
from vld_tui.store.errors import DatabaseLocked, DatabaseUnwritable, QueryError, RunNotFound
from vld_tui.store.folders import run_ids
from vld_tui.store.lookup import Found, find, find_by_id
from vld_tui.store.opening import OpenHistory
from vld_tui.store.query import Query
from vld_tui.store.runs import IS_SOUND_SQL, STATUS_SQL, find_unreadable, read_points, read_runs
from vld_tui.store.summaries import count_groups, group_order, read_groups
from vld_tui.store.unmatched import refuse_unknown_words, unmatched_values

_ALL = Query()
_STATUSES: Final = f"""
    SELECT status, count(*) FROM runs INDEXED BY live_runs
    WHERE status IN ('starting', 'running') AND trashed_at IS NULL AND {IS_SOUND_SQL}
    GROUP BY status
    UNION ALL SELECT status, count(*) FROM runs INDEXED BY queued_runs
    WHERE status = 'queued' AND trashed_at IS NULL AND {IS_SOUND_SQL}
    GROUP BY status
"""


class RunLists(OpenHistory):
    """The queries for runs of an open history."""

    def get(self, reference: str, *, in_trash: bool = False) -> Run:
        """Return the run with this id, name, or start of an id; ``@last`` is the newest.

        With ``in_trash``, runs in the trash are preferred, and ``@last`` is the last trashed one.
        The run is updated from its folder in any state.

        Raises:
            RunNotFound: when there is none.
            AmbiguousRun: when there are several.
        """
        found = self._find(reference, in_trash=in_trash)
        if not found.is_trashed and not self._database.is_read_only:
            self._look_again(found)
        return self._run(found.key)

    def _look_again(self, found: Found) -> None:
        """Update a run from its folder, in a copy if the database cannot be written."""
        try:
            ingest.look_again(self._database, found.key, found.run_dir(self.home))
        except (DatabaseLocked, DatabaseUnwritable):
            if not self.is_to_look:
                raise
            self.work_on_copy()
            ingest.look_again(self._database, found.key, found.run_dir(self.home))

    def _find(self, reference: str, *, in_trash: bool) -> Found:
        """Find a run, first reading an unknown folder of that name."""
        try:
            return find(self._database, reference, in_trash=in_trash)
        except RunNotFound:
            if self._database.is_read_only or reference not in run_ids(self.home):
                raise
        self.take_in([reference])
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
        return find_by_id(self._database, run_id).run_dir(self.home)

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
            self._condition(query, trashed=trashed),
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

    def finished_ids(self, query: Query = _ALL) -> list[str]:
        """Return the ids of the finished runs that match, the newest first by default."""
        find_unreadable(self._database)
        condition = self._condition(query, trashed=False)
        rows = self._database.rows(
            f"SELECT run_id FROM runs WHERE {condition} AND {STATUS_SQL} = 'finished' "
            f"ORDER BY {query.order_by}",
            query.parameters,
        )
        return [run_id for (run_id,) in rows]

    def count_runs(self, query: Query = _ALL, *, trashed: bool = False) -> int:
        """Return how many runs match."""
        condition = self._condition(query, trashed=trashed)
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
        """Return the groups of the matching runs, latest first by default."""
        return read_groups(
            self._database,
            self._condition(query, trashed=False),
            query.parameters,
            grouping,
            order=group_order(sort),
            offset=offset,
            limit=-1 if limit is None else limit,
        )

    def count_groups(self, query: Query, grouping: Grouping) -> int:
        """Return the number of groups of the matching runs."""
        condition = self._condition(query, trashed=False)
        return count_groups(self._database, condition, query.parameters, grouping)

    def count_statuses(self) -> dict[str, int]:
        """Return the number of live and queued runs by status."""
        return dict(self._database.rows(_STATUSES))

    def points(self, query: Query = _ALL, *, limit: int) -> list[RunPoint]:
        """Return the newest evaluated runs that match, as points of the ID–OOD plane."""
        condition = self._condition(query, trashed=False)
        return read_points(self._database, condition, query.parameters, limit=limit)

    def count_without_ood(self, query: Query = _ALL) -> int:
        """Return how many matching evaluated runs are not in that plane because they have no
        target."""
        where = f"{self._condition(query, trashed=False)} AND id_accuracy IS NOT NULL"
        row = self._database.row(
            f"SELECT count(*) FROM runs WHERE {where} AND ood_accuracy IS NULL", query.parameters
        )
        return int(row[0]) if row else 0

    def live_runs(self) -> list[Run]:
        """Return the runs that should have a process, oldest first."""
        live = "SELECT key FROM runs INDEXED BY live_runs WHERE status IN ('starting', 'running')"
        where = f"key IN ({live}) AND trashed_at IS NULL"
        return read_runs(self._database, where, order="launched_at")

    def _run(self, key: int) -> Run:
        runs = read_runs(self._database, "key = ?", [key])
        if not runs:
            raise RunNotFound("The run has been deleted.")
        return runs[0]

    def _condition(self, query: Query, *, trashed: bool) -> str:
        if DAMAGED in query.parameters:
            find_unreadable(self._database)
        place = "trashed_at IS NOT NULL" if trashed else "trashed_at IS NULL"
        return f"{place} AND {query.where}"
