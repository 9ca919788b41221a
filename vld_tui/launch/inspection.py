"""What the engine knows of this machine, asked of it in a process of its own."""

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
    """Return what ``python -m engine.inspect SUBJECT …`` prints, decoded; takes a few seconds.

    ``on_start`` is told of the process, so that somebody who cannot wait may end it.

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
                f"The engine gave no answer within {TIMEOUT_S:.0f} s to: {' '.join(command)}"
            ) from None
    if process.returncode != 0:
        lines = log.decode(errors="replace").strip().splitlines()
        raise LaunchError(
            f"The engine cannot start: {lines[-1] if lines else 'it gave no reason'}\n"
            f"See: {' '.join(command)}"
        )
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise LaunchError(
            f"The engine's answer is not JSON: {error}\nSee: {' '.join(command)}"
        ) from None
