"""A row of the parity table: one computation of two programs, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from torch import Tensor


class Expected(Enum):
    """The expected result of a row."""

    EQUAL = "equal"
    NEAR = "near"
    DIFFERENT = "different, intended"


@dataclass(frozen=True)
class Row:
    """A comparison and its result.

    Attributes:
        what: the computation.
        theirs: what the other program does, with repository, file and function.
        ours: what this program does.
        compared: the cases.
        result: the measurement.
        holds: whether the result is the expected one.
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
"""Computes a row; it may write into the folder, which is its own."""


def largest_difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Return the largest absolute difference of tensors of the same shapes."""
    if [each.shape for each in ours] != [each.shape for each in theirs]:
        return float("inf")
    pairs = zip(ours, theirs, strict=True)
    return max(float((mine.double() - other.double()).abs().max()) for mine, other in pairs)


def difference_text(difference: float) -> str:
    """Format a largest difference."""
    return "largest difference 0" if difference == 0 else f"largest difference {difference:.1e}"
