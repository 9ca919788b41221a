"""Errors as a person reads them: what, where, what to do; in one or two lines on stderr."""

from __future__ import annotations

import sys

import typer

from engine.protocol import SpecError, nearest
from vld_tui.cli.errors import FAILED_EXIT, INTERRUPTED_EXIT, USAGE_EXIT, CommandError
from vld_tui.cli.hints import with_home
from vld_tui.cli.surroundings import is_folder_gone
from vld_tui.config import ConfigError
from vld_tui.dashboard.serve.address import AddressError
from vld_tui.home import HomeError
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.local import LaunchError
from vld_tui.launch.queue.slots import SlotsError
from vld_tui.launch.slurm.errors import InterruptedSubmissionError, SlurmError
from vld_tui.launch.sync import SyncError
from vld_tui.store.query import QueryError
from vld_tui.store.store import StoreError
from vld_tui.study.errors import StudyError
from vld_tui.words.text import plain_text

_FOR_A_PERSON = (
    AddressError,
    SpecError,
    ConfigError,
    DatasetError,
    HomeError,
    LaunchError,
    QueryError,
    SlotsError,
    SlurmError,
    StoreError,
    StudyError,
    SyncError,
)
"""Errors whose message says all that a person needs."""


def complain(message: str) -> None:
    """Write an error to stderr as plain text."""
    sys.stdout.flush()
    sys.stderr.write(f"Error: {plain_text(with_home(message.rstrip()), keep_newlines=True)}\n")
    sys.stderr.flush()


def report(error: Exception) -> int:
    """Tell a person of an error and return the exit code."""
    if isinstance(error, typer.TyperException):
        complain(_usage_message(error))
        return error.exit_code
    if isinstance(error, CommandError):
        complain(str(error))
        return error.exit_code
    if _is_of_missing_folder(error):
        complain(
            "The current folder no longer exists: it was deleted or moved. Change to another one "
            "(cd), then try again."
        )
        return USAGE_EXIT
    if isinstance(error, _FOR_A_PERSON):
        complain(str(error))
        return INTERRUPTED_EXIT if isinstance(error, InterruptedSubmissionError) else USAGE_EXIT
    if isinstance(error, OSError):
        complain(f"{error}.\n'vld --debug …' shows where it happened.")
        return FAILED_EXIT
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


def _usage_message(error: typer.TyperException) -> str:
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        hint = nearest(getattr(error, "option_name", ""), possibilities)
        message = f"{error.message.rstrip('.')}.{hint}"
    else:
        message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message}\nTry '{context.command_path} --help'." if context else message
