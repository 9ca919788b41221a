"""What goes wrong between here and a cluster."""

from __future__ import annotations


class SlurmError(Exception):
    """What Slurm cannot do, or is not there to do; the message says why and what to do."""


class SlurmAwayError(SlurmError):
    """That no cluster can be asked from here: there is no Slurm, or its controller is away."""


class InterruptedSubmissionError(SlurmError):
    """A person stopped a submission; the message says how far it was."""
