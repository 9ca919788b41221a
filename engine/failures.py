"""Error messages of failed runs."""

from __future__ import annotations

import traceback
from pathlib import Path

from engine.errors import InputError, TrainingError
from engine.machine.disk import disk_trouble
from engine.protocol import RunFailed, SpecError
from engine.rundir import RunDir
from engine.text import without_secrets


def describe_failure(error: Exception, run_dir: RunDir) -> RunFailed:
    """Return the event for an exception that is being handled; input errors have no traceback."""
    refused = isinstance(error, InputError | SpecError)
    if isinstance(error, InputError | SpecError | TrainingError):
        message = str(error)
    elif isinstance(error, OSError):
        message = describe_os_error(error, run_dir)
    else:
        message = str(error) or type(error).__name__
    return RunFailed(
        error=type(error).__name__,
        message=without_secrets(message),
        traceback="" if refused else without_secrets(traceback.format_exc()),
        step=error.step if isinstance(error, TrainingError) else None,
        refused=refused,
    )


def describe_os_error(error: OSError, run_dir: RunDir) -> str:
    """Return the message for a failed file operation; names a full or read-only disk."""
    trouble = disk_trouble(error, Path(error.filename or run_dir.path))
    if trouble is None:
        return f"A file could not be read or written: {error}"
    file = f"{error.filename} could not be written: {error.strerror}. " if error.filename else ""
    return f"{file}{trouble} Fix this, then run: vld resume {run_dir.run_id}"
