"""Text of messages: sizes, counts and lists, without secrets or control characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

HIDDEN: Final = "***"
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^\s/@'\"]+(?=@)")
"""User and password in a URL, such as a proxy's."""
_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{8,}|(?<=\bBearer )[A-Za-z0-9._~+/=-]+")
_UNSEEN: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control characters and invisible characters."""


def format_size(size_bytes: float) -> str:
    """Return a number of bytes in GiB, or in MiB below half a GiB."""
    if size_bytes >= 2**29:
        return f"{size_bytes / 2**30:,.1f} GiB"
    return f"{size_bytes / 2**20:,.1f} MiB"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``2 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def without_advice(error: object) -> str:
    """Return what failed, of an error whose next sentences are advice; without the full stop."""
    return str(error).partition(". ")[0].rstrip(".")


def quoted(name: str) -> str:
    """Return a name, quoted if it has surrounding spaces, commas or quotes."""
    return repr(name) if name != name.strip() or not name or set(name) & set(",;'\"") else name


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return the first names, separated by commas, and the number of the others."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def without_secrets(text: str) -> str:
    """Return text with passwords in URLs and Hugging Face tokens masked."""
    return _TOKEN.sub(HIDDEN, _IN_ADDRESS.sub(HIDDEN, text))


def visible(text: str) -> str:
    """Return text with control and invisible characters escaped (``\\x1b``), except newlines."""
    return "".join(
        each if each == "\n" or unicodedata.category(each) not in _UNSEEN else _escaped(each)
        for each in text
    )


def log_lines(message: str, traceback: str = "") -> str:
    """Return an error for the log, such that its message cannot forge log lines.

    Newlines in the message are escaped; within a traceback, the message's lines are marked.
    """
    if not traceback:
        return visible(message).replace("\n", "\\n")
    return visible(traceback.replace(message, message.replace("\n", "\n| ")))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
