"""What the engine knows of this machine, asked of it in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final, Literal

import msgspec

from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.launch.local import engine_environment

TIMEOUT_S: Final = 120.0


def ask_engine(subject: Literal["models", "doctor"], *arguments: str) -> Any:
    """Return what ``python -m engine.inspect SUBJECT …`` prints, decoded; takes a few seconds.

    Raises:
        CommandError: when the engine cannot answer.
    """
    command = [sys.executable, "-P", "-m", "engine.inspect", subject, *arguments]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=engine_environment(),
        )
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"The engine gave no answer within {TIMEOUT_S:.0f} s to: {' '.join(command)}",
            exit_code=FAILED_EXIT,
        ) from None
    if answer.returncode != 0:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        raise CommandError(
            f"The engine cannot start: {lines[-1] if lines else 'it gave no reason'}\n"
            f"See: {' '.join(command)}",
            exit_code=FAILED_EXIT,
        )
    try:
        return msgspec.json.decode(answer.stdout)
    except msgspec.DecodeError as error:
        raise CommandError(
            f"The engine's answer is not JSON: {error}\nSee: {' '.join(command)}",
            exit_code=FAILED_EXIT,
        ) from None
