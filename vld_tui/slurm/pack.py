"""The task of jobs that were submitted before it moved: their files name it by this module."""

from vld_tui.launch.slurm.pack import Pack

__all__ = ["Pack"]
