"""What the terminal can do."""

from __future__ import annotations

import os


def is_dumb() -> bool:
    """Return whether the terminal cannot place text, and so cannot show the dashboard."""
    return os.environ.get("TERM") in ("dumb", "unknown")
