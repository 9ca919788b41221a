"""Find damaged numbers in a log's event numbers, which must increase."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


def in_sequence(numbers: Sequence[int], last: int, following: int | None = None) -> list[bool]:
    """Return, for each number, whether it fits its neighbours.

    As many numbers as possible are kept that increase from ``last``, the number before them, to
    ``following``, the one after. So a number that is too high is rejected, not those after it.
    """
    if not numbers:
        return []
    is_over = following is None or following > numbers[-1]
    if numbers[0] > last and is_over and all(low < high for low, high in pairwise(numbers)):
        return [True] * len(numbers)
    kept = _longest_ascent([*numbers, *([] if following is None else [following])], last)
    return [at in kept for at in range(len(numbers))]


def _longest_ascent(numbers: Sequence[int], last: int) -> set[int]:
    """Return the indices of the longest increasing subsequence above ``last``, the lowest and
    earliest of several."""
    ends: list[int] = []
    places: list[int] = []
    before: dict[int, int | None] = {}
    for at, number in enumerate(numbers):
        if number <= last:
            continue
        length = bisect_left(ends, number)
        if length < len(ends) and ends[length] == number:  # repeated
            continue
        ends[length : length + 1] = [number]
        places[length : length + 1] = [at]
        before[at] = places[length - 1] if length else None
    chosen: set[int] = set()
    place = places[-1] if places else None
    while place is not None:
        chosen.add(place)
        place = before[place]
    return chosen
