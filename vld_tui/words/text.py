"""Make external text safe to display."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, chop_cells, set_cell_size

_PART: Final = re.compile(r"[-_ ./]*[^-_ ./]+")
"""A part of a name, with the separator before it."""
_BREAKS = " ,-/_→"
_JOINERS = "\u200c\u200d"
"""Invisible but harmless characters, needed for emoji and scripts such as Persian."""

UNPRINTABLE: Final = "�"
"""Stands for a character that has no picture."""


def plain_text(text: str, *, keep_newlines: bool = False) -> str:
    """Return ``text`` with every character that could control a terminal made visible.

    Control characters become control pictures (escape is ``␛``); direction overrides, lone
    surrogates, line separators and other invisible characters become ``\\u202e`` and the like.
    Markup is unchanged: use the result only where markup is not parsed.
    """
    if text.isprintable():
        return text
    return "".join(
        character if _is_harmless(character, keep_newlines) else _visible(character)
        for character in text
    )


def uncontrolled(text: str) -> str:
    """Return drawn text without any character that could control a terminal, in the same cells.

    The last line of defence: ``plain_text`` makes such characters visible where there is room.
    """
    if text.isprintable():
        return text
    return "".join(
        character if _is_harmless(character) else "?" * cell_len(character) for character in text
    )


def plain_characters(line: str) -> str:
    """Return a line with the same number of characters, those that could control a terminal
    replaced by a sign each; tabs stay."""
    if line.isprintable():
        return line
    shown = (each if each == "\t" else plain_text(each) for each in line)
    return "".join(each if len(each) == 1 else UNPRINTABLE for each in shown)


def _is_harmless(character: str, keep_newlines: bool = False) -> bool:
    if character == "\n":
        return keep_newlines
    category = unicodedata.category(character)
    return category not in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in _JOINERS


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def width(text: str) -> int:
    """Return how many terminal cells ``text`` takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """Pad or cut ``text`` to exactly ``cells`` terminal cells; a cut ends in an ellipsis."""
    missing = cells - width(text)
    if missing < 0:
        return set_cell_size(text, cells - 1) + "…" if cells > 0 else ""
    return " " * missing + text if right else text + " " * missing


def shorten(text: str, cells: int) -> str:
    """Cut ``text`` to at most ``cells`` terminal cells; a cut ends in an ellipsis."""
    return fit(text, cells) if width(text) > cells else text


def folded(text: str, cells: int) -> list[str]:
    """Return ``text`` in lines of at most ``cells`` terminal cells, broken after spaces or
    punctuation if possible."""
    lines = []
    while width(text) > cells:
        most = len(chop_cells(text, max(2, cells))[0])
        ends = [at + 1 for at in range(most) if text[at] in _BREAKS]
        at = ends[-1] if ends and ends[-1] > most // 3 else most
        lines.append(text[:at].rstrip())
        text = text[at:].lstrip()
    return [*lines, text] if text or not lines else lines


def shorten_middle(text: str, cells: int) -> str:
    """Cut ``text`` to at most ``cells`` terminal cells; the cut is an ellipsis in the middle.

    For names and paths, whose beginning and end distinguish them.
    """
    if width(text) <= cells:
        return text
    end_cells = (cells - 1) // 2
    end = text[len(text) - end_cells :]
    while width(end) > end_cells:
        end = end[1:]
    return fit(text, cells - width(end)) + end


def shorten_apart(names: Sequence[str], cells: int) -> list[str]:
    """Cut names to at most ``cells`` terminal cells each, so that they stay distinguishable.

    What all of them begin or end with is left out first. Names that are equal stay equal.
    """
    if all(width(name) <= cells for name in names):
        return list(names)
    rest = _without_common_parts(names)
    ways = (
        rest,
        [shorten_middle(name, cells) for name in rest],
        [shorten(name, cells) for name in rest],
        [shorten_start(name, cells) for name in rest],
    )
    fitting = [way for way in ways if all(width(name) <= cells for name in way)]
    return next((way for way in fitting if len({*way}) == len({*names})), fitting[0])


def shorten_start(text: str, cells: int) -> str:
    """Cut ``text`` to at most ``cells`` terminal cells; the cut is an ellipsis at the start."""
    if width(text) <= cells:
        return text
    end = text
    while end and width(end) >= cells:
        end = end[1:]
    return f"…{end}" if cells > 0 else ""


def _without_common_parts(names: Sequence[str]) -> list[str]:
    """Return names without the parts that all begin and end with; a cut is an ellipsis."""
    if len({*names}) < 2:
        return list(names)
    parts = [_PART.findall(name) or [name] for name in names]
    start = _count_common(parts)
    end = _count_common([each[start:][::-1] for each in parts])
    # Each name keeps a part, for instance if one is the beginning of another.
    while min(len(each) for each in parts) - start - end < 1 and end:
        end -= 1
    while min(len(each) for each in parts) - start < 1:
        start -= 1
    kept = ["".join(each[start : len(each) - end]) for each in parts]
    return [
        f"{'…' if start else ''}{name.lstrip('-_ ./') if start else name}{'…' if end else ''}"
        for name in kept
    ]


def _count_common(names: Sequence[Sequence[str]]) -> int:
    """Return the number of parts at the beginning that all names share."""
    places = zip(*names, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda parts: len({*parts}) == 1, places))


def common_beginning(texts: Sequence[str]) -> str:
    """Return what all of some texts begin with."""
    return texts[0][: _count_common(texts)] if texts else ""
