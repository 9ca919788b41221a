"""Programs on another machine, run in this terminal over ssh."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from engine.protocol import UserError

NOT_FOUND: Final = 127
"""Exit status of a shell that does not find a program."""
NO_CONNECTION: Final = 255
"""Exit status of ssh if it cannot connect, or loses the connection."""


class SshError(UserError):
    """A program that could not be run on another machine."""


def is_host(text: str) -> bool:
    """Return whether a text is ``[USER@]HOST``, and nothing that ssh reads as an option."""
    user, _, host = text.rpartition("@")
    return bool(host) and not user.startswith("-") and not host.startswith("-")


def run_over_ssh(host: str, program: str, arguments: Sequence[str]) -> int:
    """Run a program on another machine in this terminal, or through pipes; return its exit status.

    Raises:
        SshError: when there is no ssh, no connection, or no such program.
    """
    if not is_host(host):
        raise SshError(f"{host!r} is not a host: use USER@HOST.")
    if (ssh := shutil.which("ssh")) is None:
        raise SshError("ssh is missing. Install an OpenSSH client.")
    in_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    settings = [f"{name}={value}" for name, value in _settings(in_terminal=in_terminal).items()]
    words = [*(["env", *settings] if settings else []), program, *arguments]
    status = subprocess.call(
        [ssh, *(["-t"] if in_terminal else []), "--", host, shlex.join(words)],
        stdin=None if in_terminal else subprocess.DEVNULL,
    )
    if status == NOT_FOUND:
        raise SshError(
            f"{program} not found on {host}: it is not on the PATH of commands run over ssh.\n"
            f"Install it there, or add its folder to PATH. To check: "
            f"ssh {shlex.quote(host)} {program} --help"
        )
    if status == NO_CONNECTION:
        raise SshError(f"ssh could not connect to {host}, or lost the connection.")
    return status


def _settings(*, in_terminal: bool) -> Mapping[str, str]:
    """Return what ssh does not transfer: the terminal's colours; for a pipe, its size."""
    if in_terminal:
        colours = os.environ.get("COLORTERM")
        return {"COLORTERM": colours} if colours else {}
    size = shutil.get_terminal_size()
    return {"COLUMNS": str(size.columns), "LINES": str(size.lines)}
