"""Drawings that only the command line shows."""
