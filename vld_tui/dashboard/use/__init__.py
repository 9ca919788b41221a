"""Uses of trained runs: what is asked, the work, and the results."""
