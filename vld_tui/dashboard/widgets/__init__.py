"""Widgets: they are given plain values, and tell in messages what a person did."""
