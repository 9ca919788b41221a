"""Have the engine work on a request in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict, TypeVar

import msgspec

from engine.protocol import UserError
from engine.protocol.work import (
    ON_STDIN,
    WorkDone,
    WorkRefused,
    WorkReport,
)
from engine.rundir.life import exit_cause
from vld_tui.launch.local import LaunchError, engine_environment

Answer = TypeVar("Answer")

LONGEST_ARGUMENT: Final = 2**16
"""Maximum bytes of a request on the command line; Linux accepts 128 KiB."""


class WorkError(UserError):
    """Work that the engine refused; the message says what to do."""


class Computing(TypedDict, total=False):
    """How the engine computes; what is missing is chosen by the request's defaults.

    Attributes:
        device: where networks compute.
        batch_size: images computed at a time.
        threads: CPU threads; None: one for each usable core.
    """

    device: str
    batch_size: int
    threads: int | None


def ask_engine(
    command: Sequence[str],
    request: msgspec.Struct,
    answer_type: type[Answer],
    on_report: Callable[[Any], None] = lambda _report: None,
    *,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
    refused: type[UserError] = WorkError,
) -> Answer:
    """Run ``command REQUEST`` and return its answer.

    An exception from ``on_report``, or Ctrl-C, ends the process after it has cleaned up.

    Args:
        command: such as :func:`engine_package`.
        request: what to do.
        answer_type: what the answer is.
        on_report: receives progress, notes and rows.
        on_start: receives the process, so that the caller can end it.
        refused: the error to raise when the engine rejects the request.

    Raises:
        UserError: ``refused``, with the engine's message.
        LaunchError: when the process cannot start, or dies.
    """
    encoded = msgspec.json.encode(request)
    is_long = len(encoded) > LONGEST_ARGUMENT
    with (
        tempfile.TemporaryFile() as log,
        tempfile.TemporaryFile() as stdin,
    ):
        stdin.write(encoded if is_long else b"")
        stdin.seek(0)
        with subprocess.Popen(
            [*command, ON_STDIN if is_long else encoded.decode()],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            env=engine_environment(),
            start_new_session=True,  # we forward Ctrl-C, once
        ) as process:
            assert process.stdout is not None
            if on_start is not None:
                on_start(process)
            try:
                for line in process.stdout:
                    report = msgspec.json.decode(line, type=WorkReport)
                    if isinstance(report, WorkDone):
                        return msgspec.json.decode(report.answer, type=answer_type)
                    if isinstance(report, WorkRefused):
                        raise refused(report.message)
                    on_report(report)
            except BaseException:
                process.terminate()
                raise
            process.wait()
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    code = process.returncode
    how = exit_cause(code) if code < 0 else f"exit code {code}"
    reason = f": {lines[-1]}" if lines else "" if code < 0 else ": no reason given"
    raise LaunchError(f"The engine failed ({how}){reason}")


def engine_package(name: str) -> tuple[str, ...]:
    """Return the command that works on the requests of a package of the engine."""
    return (sys.executable, "-P", "-m", f"engine.{name}")
