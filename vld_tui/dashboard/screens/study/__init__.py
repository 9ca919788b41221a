"""Studies: the list of them, and one as it fills."""
