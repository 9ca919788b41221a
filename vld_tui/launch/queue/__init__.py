"""The queue: runs that wait for a slot, and the process that starts them."""
