"""Run the user's command on an event, within a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import msgspec
import psutil

from vld_tui.launch.notify.message import Message
from vld_tui.words.secrets import without_secrets_of
from vld_tui.words.text import plain_text, shorten

SHELL: Final = "/bin/sh"
_KILL_PATIENCE_S: Final = 1.0
_CHUNK: Final = 4_096
_CHUNKS: Final = 2
"""How much of a command's output is kept, from its end."""
_MOST_SHOWN: Final = 200


class Sent(msgspec.Struct, frozen=True):
    """The result of an attempt to notify: ``problem`` is None if it succeeded."""

    how: str
    wall_s: float
    problem: str | None = None


def run_command(
    command: str,
    message: Message,
    *,
    timeout_s: float,
    folder: Path,
    environment: Mapping[str, str],
) -> Sent:
    """Run a shell command that reads a message as JSON from stdin.

    At the time limit it is ended with its children. Its output is read and, except for its end,
    discarded.
    """
    started = time.monotonic()
    try:
        process = _start(command, message, folder, environment)
    except OSError as error:
        return Sent("not started", 0.0, f"cannot be started: {error.strerror}")
    end: deque[bytes] = deque(maxlen=_CHUNKS)
    reader = threading.Thread(target=_drain, args=(process.stdout, end), daemon=True)
    reader.start()
    problem, how = None, ""
    try:
        code = process.wait(timeout_s)
        reader.join(_KILL_PATIENCE_S)
        how = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
    except subprocess.TimeoutExpired:
        _end_with_children(process)
        how = f"ended after {timeout_s:g} s"
        problem = f"{how}: it did not exit (notify.timeout_s)"
    if not problem and process.returncode:
        said = _last_line(b"".join(end), environment)
        problem = f"{how}{': ' if said else ''}{said}"
    return Sent(how, time.monotonic() - started, problem)


def _start(
    command: str, message: Message, folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command in its own session.

    Raises:
        OSError: when it cannot be started.
    """
    with tempfile.TemporaryFile() as given:  # not a pipe: the command need not read it
        given.write(msgspec.json.encode(message))
        given.seek(0)
        return subprocess.Popen(
            [SHELL, "-c", command],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
            env={**environment, **message.variables},
        )


def _drain(output: IO[bytes] | None, end: deque[bytes]) -> None:
    """Read to the end: a child in the background may keep it open after the command has exited."""
    if output is None:
        return
    with output, contextlib.suppress(OSError):
        while chunk := os.read(output.fileno(), _CHUNK):
            end.append(chunk)


def _end_with_children(process: subprocess.Popen[bytes]) -> None:
    """End a process, its session, and its children that have left the session."""
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        for child in children:
            with contextlib.suppress(psutil.Error):  # checks that the pid is still the child's
                child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_PATIENCE_S)
        psutil.wait_procs(children, _KILL_PATIENCE_S)


def _last_line(output: bytes, environment: Mapping[str, str]) -> str:
    lines = output.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return shorten(plain_text(without_secrets_of(environment, last)), _MOST_SHOWN)
