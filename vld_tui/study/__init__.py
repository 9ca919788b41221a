"""Studies: grids of runs, their planning and their results."""
