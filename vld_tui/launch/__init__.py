"""Start, stop and follow the engine's processes."""
