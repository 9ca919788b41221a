"""Runs as jobs of a Slurm cluster: submitted, watched, stopped.

The run folder on the shared disk stays the whole contract: jobs read and write it alone, and no
job opens the database.
"""
