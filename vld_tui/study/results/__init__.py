"""Results of a study: outcomes, means over seeds, intervals and choices."""
