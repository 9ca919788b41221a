"""Exclude lists: CSV files of decisions about single images.

A list has the columns ``path``, ``action`` and ``class``; others are ignored. Data sets are read
with it by :mod:`engine.datasets.corrections`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from engine.protocol.datasets import LeftOut
from engine.text import counted

Action = Literal["exclude", "relabel", "keep"]
ACTIONS: Final[tuple[Action, ...]] = ("exclude", "relabel", "keep")
COLUMNS: Final = ("path", "action", "class")
NEAR_DOMAIN: Final = "near_domain"
"""Column of the domain of the same data set that an image's distance was measured to, if it was
chosen by one: a run must not have that domain as its target."""
EXCLUDED: Final = "images that --exclude lists"
RELABELLED: Final = "labels that --exclude corrects"
"""Kinds of :class:`~engine.protocol.datasets.LeftOut`."""


class Decision(msgspec.Struct, frozen=True):
    """What a data set does with one image.

    Attributes:
        path: of the image, relative to the data set.
        action: ``exclude`` leaves it out, ``relabel`` gives it another class, and ``keep`` records
            that it was looked at.
        class_name: class to relabel it with.
        more: values of further columns.
    """

    path: str
    action: Action = "exclude"
    class_name: str = ""
    more: tuple[str, ...] = ()


def exclusions_text(left_out: Iterable[LeftOut]) -> str:
    """Return ``an exclude list leaves out 2 images and corrects 1 label``; empty: there is none."""
    counts = {each.kind: each.count for each in left_out}
    words = [
        f"{verb} {counted(counts[kind], noun)}"
        for kind, verb, noun in (
            (EXCLUDED, "leaves out", "image"),
            (RELABELLED, "corrects", "label"),
        )
        if kind in counts
    ]
    return f"an exclude list {' and '.join(words)}" if words else ""


def exclude_list(decisions: Iterable[Decision], more_columns: Sequence[str] = ()) -> bytes:
    """Return the content of an exclude list.

    Args:
        decisions: in the order of the lines.
        more_columns: names of the values of ``Decision.more``, for the reader only.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*COLUMNS, *more_columns))
    for each in decisions:
        path = f"./{each.path}" if each.path.startswith("#") else each.path  # not a comment
        table.writerow((path, each.action, each.class_name, *each.more))
    return text.getvalue().encode()
