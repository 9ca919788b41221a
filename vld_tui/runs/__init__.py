"""What a run is, as plain values: its state, progress, files, events and statistics."""
