"""Ask for confirmation before an expensive or irreversible action."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.words.text import plain_text

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")]


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
