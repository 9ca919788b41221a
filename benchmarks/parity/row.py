"""A row of the parity table: one thing that two programs do, and whether they do the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from torch import Tensor


class Expected(Enum):
    """What a row must find."""

    EQUAL = "equal"
    NEAR = "near"
    DIFFERENT = "different, intended"


@dataclass(frozen=True)
class Row:
    """What was compared and what was found.

    Attributes:
        what: the thing in question.
        theirs: what the other program does, and where: repository, file, function.
        ours: what this program does.
        compared: the cases.
        result: what was measured.
        holds: the two are as the row expects them.
        expected: equal, near or different.
    """

    what: str
    theirs: str
    ours: str
    compared: str
    result: str
    holds: bool
    expected: Expected = Expected.EQUAL


Check = Callable[[Path], Row]
"""Makes a row; it may write into the folder it is given, which is its own."""


def largest_difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Return the largest absolute difference of tensors of the same shapes."""
    if [each.shape for each in ours] != [each.shape for each in theirs]:
        return float("inf")
    pairs = zip(ours, theirs, strict=True)
    return max(float((mine.double() - other.double()).abs().max()) for mine, other in pairs)


def difference_text(difference: float) -> str:
    """Write a largest difference."""
    return "largest difference 0" if difference == 0 else f"largest difference {difference:.1e}"
