"""The run folder, the processes that work in it, and how they are known to live or to have died."""

from engine.disk import describe_disk, write_atomic
from engine.rundir.folder import CHECKPOINT_PATTERN, RunDir, UserData, read_regular
from engine.rundir.process import ExitInfo, JobInfo, KillAsked, ProcessInfo, StopAsked

__all__ = [
    "CHECKPOINT_PATTERN",
    "ExitInfo",
    "JobInfo",
    "KillAsked",
    "ProcessInfo",
    "RunDir",
    "StopAsked",
    "UserData",
    "describe_disk",
    "read_regular",
    "write_atomic",
]
