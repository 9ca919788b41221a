"""A series of values in one line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], cells: int) -> str:
    """Draw ``values`` from their lowest (▁) to their highest (█) in at most ``cells`` cells.

    More values than cells are averaged over neighbours. Missing values are left blank; a
    constant series is drawn at half height.
    """
    shown = _resample(values, cells)
    known = [value for value in shown if value is not None]
    if not known:
        return " " * len(shown)
    low, high = min(known), max(known)
    if high == low:
        return "".join(" " if value is None else _BLOCKS[3] for value in shown)
    scale = (len(_BLOCKS) - 1) / (high - low)
    return "".join(
        " " if value is None else _BLOCKS[round((value - low) * scale)] for value in shown
    )


def _resample(values: Sequence[float | None], cells: int) -> list[float | None]:
    if len(values) <= cells:
        return list(values)
    means: list[float | None] = []
    for cell in range(cells):
        part = values[cell * len(values) // cells : (cell + 1) * len(values) // cells]
        known = [value for value in part if value is not None]
        means.append(sum(known) / len(known) if known else None)
    return means
