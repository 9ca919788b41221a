"""Ask a person before something that is much, or cannot be taken back."""

from __future__ import annotations

import sys

import typer

from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.words.text import plain_text


def ask(
    question: str, *, refusal: str, hint: str = "Confirm with --yes; preview with --dry-run."
) -> None:
    """Return when a person says yes.

    Raises:
        CommandError: with ``refusal`` when it is no, or when there is nobody to ask.
    """
    if not is_somebody_there():
        raise CommandError(f"{question}\n{hint}")
    if not typer.confirm(plain_text(question, keep_newlines=True)):
        raise CommandError(refusal, exit_code=FAILED_EXIT)


def is_somebody_there() -> bool:
    """Say whether a person can answer."""
    return sys.stdin.isatty()
