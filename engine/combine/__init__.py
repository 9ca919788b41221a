"""Combine the networks of earlier runs, without training."""

from engine.combine.combining import combine
from engine.combine.parents import find_parents

__all__ = ["combine", "find_parents"]
