"""Run as Slurm jobs: submit, watch, stop.

Jobs read and write only the run folders on the shared disk and never open the database.
"""
