"""Error messages on stderr (one or two lines), exit codes, and confirmation on the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from engine.protocol import UserError, nearest
from vld_tui.cli.command import MOST
from vld_tui.cli.output import with_home
from vld_tui.words.text import plain_text

if TYPE_CHECKING:  # not needed to start
    from vld_tui.control.each_run import Refusal

Choice = TypeVar("Choice", bound=str)

FAILED_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
BROKEN_PIPE_EXIT: Final = 141
REPLACE_ADVICE: Final = "Use another name, or replace it with --force."
"""What to do if the file of ``-o`` exists."""
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")]


class CommandError(UserError):
    """A command cannot do what was asked; the message gives the reason and what to do."""

    def __init__(self, message: str, *, exit_code: int = USAGE_EXIT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def check_range(option: str, value: int | None, least: int, most: int = MOST) -> None:
    """Check that an option's number is in an inclusive range; None means not given.

    Raises:
        CommandError: naming the option and the range.
    """
    if value is not None and not least <= value <= most:
        bounds = f"at least {least}" if most == MOST else f"from {least:,} to {most:,}"
        raise CommandError(f"{option} is {value}, but must be {bounds}.")


def check_choice(option: str, value: str, choices: Iterable[Choice]) -> Choice:
    """Return the choice that an option names.

    Raises:
        CommandError: naming the option and the choices.
    """
    known = tuple(choices)
    for choice in known:
        if choice == value:
            return choice
    *others, last = known
    words = f"{', '.join(others)} or {last}"
    raise CommandError(f"{option} is {value!r}, but must be {words}.{nearest(value, known)}")


def raise_refusals(refusals: Sequence[Refusal]) -> None:
    """Report why runs could not be acted on, each reason once.

    Raises:
        CommandError: when there are refusals.
    """
    if refusals:
        reasons = dict.fromkeys(str(refusal.error) for refusal in refusals)
        raise CommandError("\n".join(reasons), exit_code=refusals[0].error.exit_code)


def complain(message: str) -> None:
    """Write an error to stderr as plain text."""
    sys.stdout.flush()
    sys.stderr.write(f"Error: {plain_text(with_home(message.rstrip()), keep_newlines=True)}\n")
    sys.stderr.flush()


def report(error: BaseException) -> int:
    """Print an error, except for an interrupt or a closed pipe, and return the exit code."""
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
                "The current directory was deleted or moved.\n"
                "cd to another directory and try again."
            )
            return USAGE_EXIT
        case UserError():
            complain(str(error))
            return error.exit_code
        case OSError():
            complain(f"{error}.\nFor the traceback, rerun with: vld --debug …")
        case _:
            complain(
                f"Unexpected {type(error).__name__}: {error}\n"
                "This is a bug in vld. For the traceback, rerun with: vld --debug …"
            )
    return FAILED_EXIT


def _is_of_missing_folder(error: BaseException | None) -> bool:
    """Return whether the error was caused by a deleted current directory."""
    while error is not None:
        if isinstance(error, FileNotFoundError) and error.filename is None:
            return _is_folder_gone()
        error = error.__cause__ or error.__context__
    return False


def _is_folder_gone() -> bool:
    """Return whether the current directory was deleted."""
    with contextlib.suppress(FileNotFoundError):
        os.getcwd()
        return False
    return True


def _discard_output() -> None:
    """Redirect stdout to /dev/null so that the flush at exit does not fail."""
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


def ask(
    question: str, *, refusal: str, hint: str = "Pass --yes to confirm, or --dry-run for details."
) -> None:
    """Ask a yes/no question on the terminal and return if the answer is yes.

    Raises:
        CommandError: with ``refusal`` for no; with ``hint`` if there is no terminal.
    """
    if not is_interactive():
        raise CommandError(f"Cannot ask without a terminal: {question}\n{hint}")
    if not typer.confirm(plain_text(question, keep_newlines=True)):
        raise CommandError(refusal, exit_code=FAILED_EXIT)


def is_interactive() -> bool:
    """Return whether stdin is a terminal."""
    return sys.stdin.isatty()
