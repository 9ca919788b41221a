"""Widgets, which take plain values and post messages about what the user did."""
