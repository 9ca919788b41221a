"""The training images nearest to each image that a run misclassifies, in its diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.protocol.diagnostics import Diagnosis

NEIGHBOURS: Final = "neighbours"
"""The name of the diagnostic and of its table."""
NEIGHBOUR_COLUMNS: Final = ("image", "training image", "class", "distance")
"""Columns of the table: the nearest training image of an image comes first."""


class Neighbour(NamedTuple):
    """A training image: its path in the data set, its class, and its cosine distance (0 to 2)."""

    path: str
    class_name: str
    distance: float


def neighbours_in(diagnosis: Diagnosis) -> Mapping[str, tuple[Neighbour, ...]]:
    """Return the training images nearest to each image, by its path; the nearest comes first.

    Rows that are not of this form, such as those of a damaged file, are left out.
    """
    found: dict[str, tuple[Neighbour, ...]] = {}
    table = diagnosis.tables.get(NEIGHBOURS)
    for row in table.rows if table is not None else ():
        match row:
            case (str(name), str(path), str(class_name), int() | float() as distance):
                found[name] = (*found.get(name, ()), Neighbour(path, class_name, distance))
    return found
