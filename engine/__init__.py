"""The fine-tuning engine: one process per run, no user interface.

Other packages may import only :mod:`engine.protocol` and :mod:`engine.rundir`, which do not import
torch.
"""
