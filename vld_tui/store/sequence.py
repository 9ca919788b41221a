"""The numbers of a log's events, each higher than the one before: which of them are damaged."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


def in_sequence(numbers: Sequence[int], last: int, following: int | None = None) -> list[bool]:
    """Say of each number whether it fits those around it.

    As many as possible are kept that ascend from ``last``, the number before them; ``following``
    comes after them. So a number that is too high is the one at fault, not those that follow it.
    """
    if not numbers:
        return []
    is_over = following is None or following > numbers[-1]
    if numbers[0] > last and is_over and all(low < high for low, high in pairwise(numbers)):
        return [True] * len(numbers)
    kept = _longest_ascent([*numbers, *([] if following is None else [following])], last)
    return [at in kept for at in range(len(numbers))]


def _longest_ascent(numbers: Sequence[int], last: int) -> set[int]:
    """Return the places of the longest ascending selection of the numbers above ``last``, the
    lowest and earliest of several."""
    ends: list[int] = []
    places: list[int] = []
    before: dict[int, int | None] = {}
    for at, number in enumerate(numbers):
        if number <= last:
            continue
        length = bisect_left(ends, number)
        if length < len(ends) and ends[length] == number:  # told before
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
