"""The run folder: its files, event log and locks, and the state of its processes."""

from engine.machine.disk import (
    LinkError,
    describe_disk,
    plain_file,
    read_plain,
    touch_plain,
    write_atomic,
)
from engine.rundir.folder import (
    CHECKPOINT_PATTERN,
    RunDir,
    StoredDiagnoses,
    StoredEvaluations,
    UserData,
)
from engine.rundir.process import ExitInfo, JobInfo, ProcessInfo, StopRecord

__all__ = [
    "CHECKPOINT_PATTERN",
    "ExitInfo",
    "JobInfo",
    "LinkError",
    "ProcessInfo",
    "RunDir",
    "StopRecord",
    "StoredDiagnoses",
    "StoredEvaluations",
    "UserData",
    "describe_disk",
    "plain_file",
    "read_plain",
    "touch_plain",
    "write_atomic",
]
