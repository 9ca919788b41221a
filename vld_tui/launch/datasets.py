"""Work on image sets, done by the engine's own process for them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from engine.protocol.datasets import (
    DatasetRequest,
    WorkDone,
    WorkNote,
    WorkProgress,
    WorkRefused,
    WorkReport,
)
from vld_tui.launch.local import LaunchError, engine_environment

Answer = TypeVar("Answer")

DATASETS_COMMAND: Final = (sys.executable, "-P", "-m", "engine.datasets")


class DatasetError(Exception):
    """Work on an image set that cannot be done; the message says what to do."""


def work_on_datasets(
    request: DatasetRequest,
    answer_type: type[Answer],
    on_report: Callable[[WorkProgress | WorkNote], None],
    command: Sequence[str] = DATASETS_COMMAND,
    *,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> Answer:
    """Have ``command REQUEST`` do the work, and return its answer.

    An exception raised by ``on_report``, or Ctrl-C, ends the process after it has cleaned up.
    ``on_start`` is told of it, so that somebody who cannot wait may end it.

    Raises:
        DatasetError: when it is refused.
        LaunchError: when the process cannot start, or dies.
    """
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [*command, msgspec.json.encode(request).decode()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=engine_environment(),
            start_new_session=True,  # Ctrl-C reaches it through us, once
        ) as process,
    ):
        assert process.stdout is not None
        if on_start is not None:
            on_start(process)
        try:
            for line in process.stdout:
                report = msgspec.json.decode(line, type=WorkReport)
                if isinstance(report, WorkDone):
                    return msgspec.json.decode(report.answer, type=answer_type)
                if isinstance(report, WorkRefused):
                    raise DatasetError(report.message)
                on_report(report)
        except BaseException:
            process.terminate()
            raise
        process.wait()
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    reason = lines[-1] if lines else "it gave no reason"
    raise LaunchError(f"The work was not finished (exit code {process.returncode}): {reason}")
