"""What the runs of a study show: outcomes, means over seeds, intervals and choices."""
