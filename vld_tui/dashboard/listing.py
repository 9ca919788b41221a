"""Which runs are listed, their order and their grouping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from vld_tui.dashboard.feed import Interest
from vld_tui.dashboard.preferences import Preferences
from vld_tui.runs.run import CONFIGURATION, Grouping, GroupRow
from vld_tui.store.errors import QueryError
from vld_tui.store.fields import known_name, shown_name
from vld_tui.store.groups import find_grouping, member_condition
from vld_tui.store.query import Condition, Query, is_one_of
from vld_tui.views.run_columns import order_label, order_sign
from vld_tui.words.numbers import plural
from vld_tui.words.text import shorten

SORTS: Final = ("-created", "-ood", "-id_accuracy", "name", "status", "dropout", "target")
"""Orders that the sort key cycles through."""
MOST_FILTER_CELLS: Final = 40
"""Of a filter above the list, which shows what its runs have in common too."""


@dataclass(frozen=True)
class Listing:
    """The user's filter, order and grouping. ``within`` is a group whose runs are listed: its
    name and condition. ``only`` are the same of the runs that the list is of; None: all."""

    filter: str = ""
    sort: str = SORTS[0]
    group: str | None = None
    within: tuple[str, Condition] | None = None
    only: tuple[str, Condition] | None = None

    @classmethod
    def liked(cls, preferences: Preferences) -> Self:
        """Return the saved listing, or the default one if it is no longer valid."""
        listing = cls(sort=preferences.sort, group=preferences.group)
        try:
            listing.interest(Interest())
        except QueryError:  # saved by a version with other fields
            return cls()
        return listing

    def interest(self, before: Interest) -> Interest:
        """Return the interest in the first page of it.

        Raises:
            QueryError: when the filter, the order or the grouping is invalid.
        """
        query = Query.parse(self.filter, sort=self.sort)
        grouping: Grouping | None = find_grouping(self.group) if self.group else None
        if self.only is not None:
            query = query.narrowed(self.only[1])
        if self.within is not None:
            query, grouping = query.narrowed(self.within[1]), None
        return replace(before, query=query, grouping=grouping, sort=self.sort, offset=0)

    def inside(self, row: GroupRow) -> Self:
        """Return the listing of the runs of a group."""
        condition = member_condition(row.grouping, row.summary.key)
        return replace(self, within=(row.name, condition))

    def of_runs(self, name: str, run_ids: Iterable[str]) -> Self:
        """Return the ungrouped listing of only these runs, under a name."""
        return replace(self, group=None, only=(name, is_one_of(run_ids)))

    def in_next_order(self) -> Self:
        """Return the listing in the next order of :data:`SORTS`."""
        plain = self.sort.removeprefix("-")
        at = next((i for i, sort in enumerate(SORTS) if sort.removeprefix("-") == plain), 0)
        return replace(self, sort=SORTS[(at + 1) % len(SORTS)])

    def turned_round(self) -> Self:
        """Return the listing in reverse order."""
        plain = self.sort.removeprefix("-")
        return replace(self, sort=plain if self.sort.startswith("-") else f"-{plain}")

    def by(self, field: str) -> Self:
        """Return the listing sorted by a field, highest first; reversed if it is already."""
        if self.sort.removeprefix("-") == field:
            return self.turned_round()
        return replace(self, sort=f"-{field}")

    @property
    def is_whole(self) -> bool:
        """Return whether every run is listed."""
        return not self.filter and self.within is None and self.only is None

    @property
    def order(self) -> tuple[str, bool]:
        """Return the field it is sorted by, and whether the highest comes first."""
        return known_name(self.sort.removeprefix("-")), self.sort.startswith("-")

    def parts(
        self,
        *,
        rows: int,
        runs: int,
        total: int,
        marked: int = 0,
        hidden: int = 0,
        common: Sequence[str] = (),
        shows_order: bool = False,
        are_all_finished: bool = True,
    ) -> list[str]:
        """Return its parts as text: ``rows`` list ``runs`` of ``total`` runs, which agree in what
        is ``common``. ``hidden`` of the marked runs do not match. ``shows_order``: the heading of
        a column has the sign of the order. ``are_all_finished``: all runs of the groups.
        """
        parts = [self.only[0]] if self.only is not None else []
        if not self.is_whole:
            parts.append(f"{runs:,} of {plural(total, 'run')}")
        if self.within is not None:
            parts.append(f"within {self.within[0]}")
        elif self.group is not None:
            alike = "all but seed" if self.group == CONFIGURATION else shown_name(self.group)
            spread = "seeds" if self.group == CONFIGURATION else "runs"
            only = "" if are_all_finished else ", finished runs only"
            parts.append(f"{plural(rows, 'group')} by {alike}, ± sd over {spread}{only}")
        if self.filter:
            parts.append(f"filter {shorten(self.filter, MOST_FILTER_CELLS)}")
        if marked:
            parts.append(f"{marked:,} marked" + (f" ({hidden:,} hidden)" if hidden else ""))
        if common:
            parts.append(f"all: {' · '.join(common)}")
        return parts if shows_order else [*parts, self._order_words()]

    def _order_words(self) -> str:
        field, is_descending = self.order
        if field == "created":
            return "newest first" if is_descending else "oldest first"
        return f"by {order_label(field)} {order_sign(is_descending=is_descending)}"
