"""Make external text safe to display."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len, set_cell_size

_JOINERS = "\u200c\u200d"
"""Invisible but harmless characters, needed for emoji and scripts such as Persian."""


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


def _is_harmless(character: str, keep_newlines: bool) -> bool:
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
