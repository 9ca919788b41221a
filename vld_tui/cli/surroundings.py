"""The process's environment: standard streams and current directory."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

_STANDARD: Final = ("stdin", "stdout", "stderr")


def settle_streams() -> None:
    """Make the standard streams usable.

    A closed stream (``>&-``) is opened on /dev/null; otherwise the next file to be opened would
    get its number and receive what is printed. Without UTF-8, characters become ``?``.
    """
    for number, name in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, this one
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def is_folder_gone() -> bool:
    """Return whether the current directory was deleted."""
    with contextlib.suppress(FileNotFoundError):
        os.getcwd()
        return False
    return True
