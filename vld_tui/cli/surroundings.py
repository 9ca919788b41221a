"""What a program finds when it starts: streams that may be closed, a folder that may be gone."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

_STANDARD: Final = ("stdin", "stdout", "stderr")


def settle_streams() -> None:
    """Make the standard streams usable, whatever they are.

    One that is closed (``>&-``) leads nowhere: the next file to be opened would take its number,
    and get what is printed. A terminal without UTF-8 shows ``?``.
    """
    for number, name in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def is_folder_gone() -> bool:
    """Say whether the current folder was deleted."""
    with contextlib.suppress(FileNotFoundError):
        os.getcwd()
        return False
    return True
