"""Groups of runs with a common value, read a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.protocol import MEASURES
from vld_tui.runs.run import (
    CONFIGURATION,
    STATUSES,
    Grouping,
    GroupKey,
    Run,
    RunSummary,
)
from vld_tui.runs.statistics import Estimate, of_moments
from vld_tui.store.database import Database, in_parts
from vld_tui.store.fields import QUERY_FIELDS
from vld_tui.store.query import Condition, Query, find_field, row_condition
from vld_tui.store.rows import STATUS_SQL, read_runs
from vld_tui.store.specs import spec_value

_DONE: Final = f"{STATUS_SQL} = 'finished'"
_MEANS: Final = {
    "id": "id_accuracy",
    "ood": "ood_accuracy",
    **{
        f"{which}_{name}": QUERY_FIELDS[f"{which}_{name}"].sql
        for name, measure in MEASURES.items()
        for _, which in measure.places
    },
}
"""The SQL, over a run's row, of the values of which groups have means."""


def find_grouping(name: str) -> Grouping:
    """Return the grouping by a field's name or alias, or by :data:`CONFIGURATION`.

    Raises:
        QueryError: for an unknown field, with the nearest names.
    """
    if name == CONFIGURATION:
        return Grouping(name, "configuration")
    field = find_field(name, "group by", CONFIGURATION)
    return Grouping(field.name, field.sql)


def member_condition(grouping: Grouping, key: GroupKey) -> Condition:
    """Return the condition that holds for the runs of one group."""
    return Condition(f"{grouping.sql} IS ?", (key,))


class Groups:
    """Groups the runs of an open history by a common value."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, query: Query, grouping: Grouping) -> int:
        """Return the number of groups of the matching runs."""
        where = row_condition(self._database, query)
        return self._database.count(
            f"(SELECT 1 FROM runs WHERE {where} GROUP BY {grouping.sql})", query.parameters
        )

    def find(
        self,
        query: Query,
        grouping: Grouping,
        *,
        sort: str = "-created",
        offset: int = 0,
        limit: int | None = None,
    ) -> list[RunSummary]:
        """Return the groups of the matching runs, latest first by default.

        ``offset`` and ``limit`` choose a page of them.
        """
        where = row_condition(self._database, query)
        statuses = ", ".join(f"sum({status}) AS {status}" for status in STATUSES)
        rows = self._database.rows(
            f"""
            SELECT common, max(newest), group_concat(members), sum(runs),
                   {_shared("dataset")}, {_shared("target")},
                   {", ".join(map(_moments, _MEANS))}, {statuses}
            FROM ({_identical(where, grouping)})
            GROUP BY common ORDER BY {_order(sort)}
            LIMIT {-1 if limit is None else limit} OFFSET {offset}
            """,
            query.parameters,
        )
        newest = {
            run.run_id: run
            for places, keys in in_parts([row[1] for row in rows])
            for run in read_runs(self._database, f"key IN ({places})", keys)
        }
        return [summary for row in rows if (summary := _summary(row, newest)) is not None]


def _order(sort: str) -> str:
    """Return the order of groups that stands for an order of runs, such as ``-ood``."""
    name, is_descending = sort.removeprefix("-"), sort.startswith("-")
    column = {
        "created": "max(newest)",
        "ood_accuracy": "avg(ood)",
        "id_accuracy": "avg(id)",
        "id": "avg(id)",
        "ood": "avg(ood)",
        **{
            f"{which}_{name}": f"iif(count({which}_{name}) = count({which}), "
            f"avg({which}_{name}), NULL)"
            for name, measure in MEASURES.items()
            for _, which in measure.places
        },
        "runs": "sum(runs)",
    }.get(name, "common")
    return f"{column} {'DESC' if is_descending else 'ASC'} NULLS LAST, max(newest) DESC"


def _identical(where: str, grouping: Grouping) -> str:
    """Return the query of identical runs, which count as one."""
    statuses = ", ".join(f"sum({STATUS_SQL} = '{status}') AS {status}" for status in STATUSES)
    means = ", ".join(
        f"avg({value}) FILTER (WHERE {_DONE}) AS {name}" for name, value in _MEANS.items()
    )
    return f"""
        SELECT {grouping.sql} AS common, max(key) AS newest, count(*) AS runs,
               group_concat(run_id) AS members, target,
               {spec_value("dataset")} AS dataset,
               {means}, {statuses}
        FROM runs WHERE {where} GROUP BY common, identity
    """


def _moments(column: str) -> str:
    return f"count({column}), avg({column}), avg({column} * {column})"


def _shared(column: str) -> str:
    """Return a column's value if all rows agree, or NULL."""
    return f"iif(min({column}) = max({column}), max({column}), NULL)"


def _summary(row: tuple[object, ...], newest: dict[str, Run]) -> RunSummary | None:
    key, _, members, runs, *others = row
    run_ids = sorted(str(members).split(","), reverse=True)  # an id begins with its time
    found = next((newest[run_id] for run_id in run_ids if run_id in newest), None)
    if found is None:  # deleted between two queries
        return None
    dataset, target, *others = others
    means = {
        name: of_moments(*others[3 * at : 3 * at + 3])  # type: ignore[arg-type]
        for at, name in enumerate(_MEANS)
    }
    counts = dict(zip(STATUSES, others[3 * len(_MEANS) :], strict=True))
    return RunSummary(
        key=key,  # type: ignore[arg-type]
        newest=found,
        run_ids=tuple(run_ids),
        runs=int(runs),  # type: ignore[call-overload]
        statuses={status: count for status, count in counts.items() if count},  # type: ignore[misc]
        id_accuracy=means["id"],
        ood_accuracy=means["ood"],
        dataset=dataset,  # type: ignore[arg-type]
        target=target,  # type: ignore[arg-type]
        measures={
            name: pair for name in MEASURES if (pair := _measured(means, name)) != (None, None)
        },
    )


def _measured(
    means: Mapping[str, Estimate | None], name: str
) -> tuple[Estimate | None, Estimate | None]:
    """Return the means of a measure that all runs with an accuracy have: those of some cannot be
    compared with accuracies of all."""

    def of(which: str) -> Estimate | None:
        found, accuracy = means.get(f"{which}_{name}"), means[which]
        return found if found and accuracy and found.n == accuracy.n else None

    return of("id"), of("ood")
