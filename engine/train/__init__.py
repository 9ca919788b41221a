"""Fine-tuning: read :mod:`engine.train.loop` first."""

from engine.train.checkpoint import load_last
from engine.train.loop import fine_tune
from engine.train.out_of_memory import explain_out_of_memory

__all__ = ["explain_out_of_memory", "fine_tune", "load_last"]
