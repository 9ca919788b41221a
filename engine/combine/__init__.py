"""Combine the networks of earlier runs, without training."""

from engine.combine.combining import combine
from engine.combine.parents import ParentRun, find_parents

__all__ = ["ParentRun", "combine", "find_parents"]
