"""Query the engine about this machine, in a separate process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from vld_tui.launch.local import LaunchError, engine_environment

TIMEOUT_S: Final = 120.0

Asked = subprocess.Popen[bytes]


def ask_engine(
    subject: Literal["models", "sizes", "doctor", "weights"],
    *arguments: str,
    on_start: Callable[[Asked], None] | None = None,
) -> Any:
    """Return the decoded output of ``python -m engine.inspect SUBJECT …``; takes a few seconds.

    ``on_start`` receives the process, so that the caller can end it.

    Raises:
        LaunchError: when the engine cannot answer.
    """
    command = [sys.executable, "-P", "-m", "engine.inspect", subject, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=engine_environment(),
    ) as process:
        if on_start is not None:
            on_start(process)
        try:
            answer, log = process.communicate(timeout=TIMEOUT_S)
        except BaseException as error:
            process.kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise LaunchError(
                f"The engine did not answer within {TIMEOUT_S:.0f} s: {' '.join(command)}"
            ) from None
    if process.returncode != 0:
        lines = log.decode(errors="replace").strip().splitlines()
        raise LaunchError(
            f"The engine failed: {lines[-1] if lines else 'no reason given'}\n"
            f"To see why, run: {' '.join(command)}"
        )
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise LaunchError(
            f"The engine's answer is not JSON: {error}\nSee: {' '.join(command)}"
        ) from None
