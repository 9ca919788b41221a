"""Formatting of text, numbers and columns, independent of runs."""
