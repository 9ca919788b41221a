"""The tabs of a run's screen, one widget each."""
