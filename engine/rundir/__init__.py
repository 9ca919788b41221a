"""The run folder, the processes that work in it, and how they are known to live or to have died."""

from engine.machine.disk import (
    LinkError,
    describe_disk,
    plain_file,
    read_plain,
    touch_plain,
    write_atomic,
)
from engine.rundir.folder import CHECKPOINT_PATTERN, RunDir, UserData
from engine.rundir.process import ExitInfo, JobInfo, KillAsked, ProcessInfo, StopAsked

__all__ = [
    "CHECKPOINT_PATTERN",
    "ExitInfo",
    "JobInfo",
    "KillAsked",
    "LinkError",
    "ProcessInfo",
    "RunDir",
    "StopAsked",
    "UserData",
    "describe_disk",
    "plain_file",
    "read_plain",
    "touch_plain",
    "write_atomic",
]
