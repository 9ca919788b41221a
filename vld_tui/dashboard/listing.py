"""Which runs are listed, in which order, and by what they are taken together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from vld_tui.dashboard.feed import Interest
from vld_tui.dashboard.preferences import Preferences
from vld_tui.runs.run import CONFIGURATION, Grouping, GroupRow
from vld_tui.store.groups import find_grouping, member_condition
from vld_tui.store.query import Condition, Query, QueryError, is_one_of
from vld_tui.words.numbers import plural

SORTS: Final = ("-created", "-ood", "-id_accuracy", "name", "status", "dropout", "target")
"""Orders that a person goes through."""


@dataclass(frozen=True)
class Listing:
    """What a person asked to see of history. ``within`` is a group whose runs are shown: its name
    and what holds for them."""

    filter: str = ""
    sort: str = SORTS[0]
    group: str | None = None
    within: tuple[str, Condition] | None = None

    @classmethod
    def liked(cls, preferences: Preferences) -> Self:
        """Return the listing that a person left; the usual one where it is not understood."""
        listing = cls(sort=preferences.sort, group=preferences.group)
        try:
            listing.interest(Interest())
        except QueryError:  # kept by a version that knew other fields
            return cls()
        return listing

    def interest(self, before: Interest) -> Interest:
        """Return the interest in the first page of it.

        Raises:
            QueryError: when the filter, the order or the grouping means nothing.
        """
        query = Query.parse(self.filter, sort=self.sort)
        grouping: Grouping | None = find_grouping(self.group) if self.group else None
        if self.within is not None:
            query, grouping = query.narrowed(self.within[1]), None
        return replace(before, query=query, grouping=grouping, sort=self.sort, offset=0)

    def inside(self, row: GroupRow) -> Self:
        """Return the listing of the runs of a group."""
        condition = member_condition(row.grouping, row.summary.key)
        return replace(self, within=(row.name, condition))

    def of_runs(self, name: str, run_ids: Iterable[str]) -> Self:
        """Return the listing of these runs alone; ``name`` says what they have in common."""
        return replace(self, within=(name, is_one_of(run_ids)))

    def in_next_order(self) -> Self:
        """Return the listing in the next of the usual orders."""
        plain = self.sort.removeprefix("-")
        at = next((i for i, sort in enumerate(SORTS) if sort.removeprefix("-") == plain), 0)
        return replace(self, sort=SORTS[(at + 1) % len(SORTS)])

    def turned_round(self) -> Self:
        """Return the listing the other way round."""
        plain = self.sort.removeprefix("-")
        return replace(self, sort=plain if self.sort.startswith("-") else f"-{plain}")

    def by(self, field: str) -> Self:
        """Return the listing by a field, the highest first; by it already: the other way round."""
        if self.sort.removeprefix("-") == field:
            return self.turned_round()
        return replace(self, sort=f"-{field}")

    @property
    def is_whole(self) -> bool:
        """Say whether nothing is left out."""
        return not self.filter and self.within is None

    def parts(self, count: int) -> list[str]:
        """Return what there is to say about it, in words; ``count`` runs or groups match."""
        parts = [f"sorted by {self.sort}"]
        if self.within is not None:
            parts.append(f"within {self.within[0]}")
        elif self.group is not None:
            alike = "all but seed" if self.group == CONFIGURATION else self.group
            parts.append(f"{plural(count, 'group')} by {alike}, ± sd over runs")
        return [*parts, f"filter {self.filter}"] if self.filter else parts
