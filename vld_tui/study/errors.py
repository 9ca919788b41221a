"""What studies refuse."""

from __future__ import annotations


class StudyError(ValueError):
    """A study that makes no sense, or is not there; the message names the file and the key."""
