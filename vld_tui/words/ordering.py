"""Texts as they are sorted."""

from __future__ import annotations

import re


def natural_key(text: str) -> str:
    """Return a text that sorts by the numbers in it: ``run 9`` comes before ``run 10``."""
    return re.sub("[0-9]+", lambda found: _number_key(found[0].lstrip("0")), text)


def _number_key(digits: str) -> str:
    return f"{len(digits):06d}{digits}"
