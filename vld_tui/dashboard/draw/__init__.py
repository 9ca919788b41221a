"""Drawings that only the dashboard shows: plain values to Rich renderables."""
