"""The machine a run computes on: devices, processor, memory and disk."""
