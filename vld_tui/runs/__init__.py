"""Runs as plain values: state, progress, files, events and statistics."""
