"""How far apart the domains of a data set are, as a table."""

from __future__ import annotations

from collections.abc import Iterator

from engine.protocol.domain_distances import ComparedDomains, DomainDistance
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import decimal, plural
from vld_tui.words.text import plain_text

CHANCE_MARK = "≈"


def distance_lines(found: ComparedDomains, cells: int | None) -> Iterator[str]:
    """Yield the distance of each domain to all others and to each of them.

    Args:
        found: the distances.
        cells: width of the terminal; None: no terminal.
    """
    yield ""
    yield (
        f"distances between domains; {plain_text(found.model)}, weights {found.weights}; "
        "1 = one standard deviation of the features"
    )
    if found.unreadable:
        yield f"! {plural(found.unreadable, 'image')} cannot be read and were left out"
    yield from (f"! {plain_text(note)}" for note in found.notes)
    names = [each.domain for each in found.domains]
    columns = [
        Column("domain", rank=102, shrinks=True),
        Column("images", right=True, rank=101),
        Column("to all others", right=True, rank=101),
        Column("by chance", right=True, rank=101),
        *(Column(plain_text(name), right=True) for name in names),
    ]
    rows = [
        [
            plain_text(each.domain), f"{each.images:,}", _distance(each.to_others),
            decimal(each.to_others.chance),
            *("" if name == each.domain else _distance(each.to[name]) for name in names),
        ]
        for each in found.domains
    ]  # fmt: skip
    yield from table_lines(columns, rows, cells)
    if any(CHANCE_MARK in cell for row in rows for cell in row):
        yield f"{CHANCE_MARK} within the 95% quantile of random samples of the images"


def _distance(distance: DomainDistance) -> str:
    """Return a distance, marked if random samples are as far apart."""
    mark = f"{CHANCE_MARK} " if distance.value <= distance.chance else ""
    return mark + decimal(distance.value)
