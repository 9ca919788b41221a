"""Sizes in words, as messages give them."""

from __future__ import annotations


def size_in_words(size_bytes: float) -> str:
    """Return a number of bytes in GiB, or in MiB where they are few."""
    if size_bytes >= 2**29:
        return f"{size_bytes / 2**30:,.1f} GiB"
    return f"{size_bytes / 2**20:,.1f} MiB"
