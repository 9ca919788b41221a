"""Errors at the edge of a command: one or two lines on stderr, and the exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

import typer

from engine.protocol import UserError, nearest
from vld_tui.cli.command import MOST
from vld_tui.cli.hints import with_home
from vld_tui.cli.surroundings import is_folder_gone
from vld_tui.words.text import plain_text

FAILED_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
BROKEN_PIPE_EXIT: Final = 141


class CommandError(UserError):
    """A command that cannot do what was asked; the message says why and what to do instead."""

    def __init__(self, message: str, *, exit_code: int = USAGE_EXIT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def check_range(option: str, value: int | None, least: int, most: int = MOST) -> None:
    """Refuse a number outside a range, both ends included; None was not given.

    Raises:
        CommandError: naming the option and the range.
    """
    if value is not None and not least <= value <= most:
        bounds = f"at least {least}" if most == MOST else f"from {least:,} to {most:,}"
        raise CommandError(f"{option} is {value}, but must be {bounds}.")


def complain(message: str) -> None:
    """Write an error to stderr as plain text."""
    sys.stdout.flush()
    sys.stderr.write(f"Error: {plain_text(with_home(message.rstrip()), keep_newlines=True)}\n")
    sys.stderr.flush()


def report(error: BaseException) -> int:
    """Print an error unless the user caused it by leaving, and return the exit code."""
    match error:
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED_EXIT
        case BrokenPipeError():
            _discard_output()
            return BROKEN_PIPE_EXIT
        case typer.TyperException():
            complain(_usage_message(error))
            return error.exit_code
        case _ if _is_of_missing_folder(error):
            complain(
                "The current folder no longer exists: it was deleted or moved. Change to another "
                "one (cd), then try again."
            )
            return USAGE_EXIT
        case UserError():
            complain(str(error))
            return error.exit_code
        case OSError():
            complain(f"{error}.\n'vld --debug …' shows where it happened.")
        case _:
            complain(
                f"Unexpected {type(error).__name__}: {error}\n"
                "This is a bug in vld; 'vld --debug …' shows where it happened."
            )
    return FAILED_EXIT


def _is_of_missing_folder(error: BaseException | None) -> bool:
    """Say whether an error came up because the current folder was deleted."""
    while error is not None:
        if isinstance(error, FileNotFoundError) and error.filename is None:
            return is_folder_gone()
        error = error.__cause__ or error.__context__
    return False


def _discard_output() -> None:
    """Let the interpreter flush at its exit without a complaint: nobody reads any more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_message(error: typer.TyperException) -> str:
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        hint = nearest(getattr(error, "option_name", ""), possibilities)
        message = f"{error.message.rstrip('.')}.{hint}"
    else:
        message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message}\nTry '{context.command_path} --help'." if context else message
