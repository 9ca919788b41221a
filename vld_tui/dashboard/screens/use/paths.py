"""Paths that the user types: read, and completed as in a shell."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Iterator
from typing import Final

from textual.suggester import Suggester

from vld_tui.home import absolute_path, expanded
from vld_tui.words.text import common_beginning

MOST_ENTRIES: Final = 10_000
"""Entries of a folder that are read for a completion."""


def split_paths(text: str) -> tuple[str, ...]:
    """Return the absolute paths in a text: separated by spaces and quoted as in a shell.

    A text that is the path of a file or folder is one path, even with spaces.

    Raises:
        ValueError: for an unfinished quote.
    """
    text = text.strip()
    is_one = " " not in text or os.path.lexists(expanded(text))
    return tuple(str(absolute_path(part)) for part in ([text] if is_one else shlex.split(text)))


class PathSuggester(Suggester):
    """Completes the last of the typed paths."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """Return the text with its last path completed as far as it is certain."""
        return await asyncio.to_thread(completed, value)


def completed(text: str) -> str | None:
    """Return a text with its last path completed, or None.

    Of several possible ones, what they have in common is added, or the first if that is nothing.
    """
    for begin in dict.fromkeys((0, text.rfind(" ") + 1)):
        typed = text[begin:]
        folder, name = os.path.split(typed)
        if not typed or (not name and folder != typed.rstrip("/")):
            continue
        found = sorted(_entries(folder, name, with_spaces=begin == 0))
        if found:
            rest = common_beginning(found)
            rest = rest if len(rest) > len(name) else found[0]
            if len(rest) > len(name):
                return f"{text[:begin]}{typed[: len(typed) - len(name)]}{rest}"
    return None


def _entries(folder: str, name: str, *, with_spaces: bool) -> Iterator[str]:
    """Yield the entries of a folder that begin with a name; folders end in a slash."""
    try:
        with os.scandir(expanded(folder or ".")) as entries:
            for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
                if not entry.name.startswith(name) or not entry.name.isprintable():
                    continue
                if (entry.name.startswith(".") and not name) or (
                    " " in entry.name and not with_spaces
                ):
                    continue
                yield f"{entry.name}/" if entry.is_dir() else entry.name
    except OSError:
        return
