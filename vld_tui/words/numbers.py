"""Human-readable numbers, and series in one line of blocks; an unknown value is shown as ``–``."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from engine.protocol.evaluated import Unit

UNKNOWN = "–"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_557_600
_UNIT_S = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BLOCKS = "▁▂▃▄▅▆▇█"


def percent(share: float | None) -> str:
    """Show a share (0 to 1) as a percentage with one decimal."""
    return UNKNOWN if share is None else f"{100 * share:z.1f}%"


def signed(difference: float | None, digits: int = 1) -> str:
    """Show a difference with its sign: ``+1.5``, ``−0.3``, ``0.0``."""
    if difference is None:
        return UNKNOWN
    text = f"{difference:+z.{digits}f}"
    return text.lstrip("+") if not text.strip("+0.") else text.replace("-", "−")


def signed_points(difference: float | None) -> str:
    """Show a difference of two shares (0 to 1) in percentage points with its sign."""
    return UNKNOWN if difference is None else signed(100 * difference)


def percent_range(interval: tuple[float, float] | None) -> str:
    """Show two shares (0 to 1) as a range of percentages with one decimal."""
    return UNKNOWN if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}%"


def balanced_words(pair: tuple[float | None, float | None]) -> str:
    """Return the ID and OOD value of balanced accuracy as text; empty if neither is known."""
    known = [percent(value) for value in pair if value is not None]
    return f"balanced {' / '.join(known)}" if known else ""


def id_words(accuracy: float | None, plain: float | None) -> str:
    """Format an ID accuracy, with that on plain images if it is measured on augmented ones."""
    if plain is None:
        return f"ID {percent(accuracy)}"
    return f"ID {percent(accuracy)} augmented ({percent(plain)} plain)"


def decimal(value: float | None, digits: int = 3) -> str:
    """Show a value with a fixed number of decimals."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def plain_number(value: float | None) -> str:
    """Show any number with three significant digits, or all digits before the point."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:z.{digits}f}"


def in_unit(value: float | None, unit: Unit) -> str:
    """Show a value of a measure."""
    text = percent(value) if unit == "share" else plain_number(value)
    return text.replace("-", "−")


def rate(per_second: float | None) -> str:
    """Show a rate with three significant digits or all digits before the point."""
    if per_second is None:
        return UNKNOWN
    if per_second >= 100:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 10 else f"{per_second:.2f}"


def duration(seconds: float | None) -> str:
    """Show a duration by its two largest units: ``42s``, ``2m 05s``, ``3h 10m``, ``2d 4h``."""
    if seconds is None:
        return UNKNOWN
    whole = round(max(0.0, seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR}h"


def seconds_in(text: str) -> float | None:
    """Return the seconds of a duration as it is typed, such as ``2h`` or ``1h 30m``; None: it is
    not one."""
    compact = text.replace(" ", "").lower()
    parts = _DURATION_PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def age(seconds: float) -> str:
    """Show how long ago something was by its largest unit: ``42s``, ``5m``, ``3h``, ``3y``."""
    whole = int(max(0.0, seconds))
    for unit, length in (("y", _YEAR), ("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def moment(seconds: float) -> str:
    """Show a Unix time as this machine's date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def magnitude(count: int | None) -> str:
    """Show a large count by its magnitude: ``950``, ``3.4M``, ``1.2B``."""
    if count is None:
        return UNKNOWN
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def size(byte_count: int | None) -> str:
    """Show a number of bytes in binary units."""
    if byte_count is None:
        return UNKNOWN
    value = float(byte_count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def plural(count: int, noun: str) -> str:
    """Show a count with its noun: ``1 run``, ``2 runs``, ``2 classes``."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def bar(share: float, cells: int) -> str:
    """Draw a share from 0 to 1 as a bar in at most ``cells`` cells, in eighths of a cell."""
    eighths = round(8 * cells * share)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def sparkline(
    values: Sequence[float | None], cells: int, scale: tuple[float, float] | None = None
) -> str:
    """Draw ``values`` from their lowest (▁) to their highest (█) in at most ``cells`` cells.

    With the ends of a ``scale``, which is that of several lines, from one to the other, and up to
    ▇, so that lines on top of each other do not touch. More values than cells are averaged over
    neighbours. Missing values are left blank; a constant series is drawn at half height.
    """
    shown = _resample(values, cells)
    known = [value for value in shown if value is not None]
    if not known:
        return " " * len(shown)
    low, high = scale or (min(known), max(known))
    blocks = _BLOCKS if scale is None else _BLOCKS[:-1]
    if high <= low:
        return "".join(" " if value is None else blocks[3] for value in shown)
    per_block = (len(blocks) - 1) / (high - low)
    levels = (None if value is None else round((value - low) * per_block) for value in shown)
    return "".join(
        " " if level is None else blocks[max(0, min(level, len(blocks) - 1))] for level in levels
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
