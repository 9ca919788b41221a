"""The fine-tuning engine: one process per run, no user interface.

Only :mod:`engine.protocol` and :mod:`engine.rundir` are meant for other packages;
they import no torch.
"""
