"""The ``--home`` of this invocation, also in suggested commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import typer

HOME_KEY: Final = "vld.home"
_COMMAND: Final = re.compile(r"(?<![\w/.-])vld (?=[a-z])")
_given: list[Path] = []
"""The folder given by ``--home`` in this invocation, if any."""


def home_option(ctx: typer.Context) -> Path | None:
    """Return the value of ``--home``, given before or after the subcommand."""
    value: Path | None = ctx.meta.get(HOME_KEY)
    return value


def remember_home(home: Path | None) -> None:
    """Store the home given as an option; None for none."""
    _given[:] = [] if home is None else [home]


def with_home(text: str) -> str:
    """Return the text with ``--home`` added to its ``vld …`` commands if it was given."""
    if not _given:
        return text
    option = f"vld --home {shlex.quote(str(_given[0]))} "
    return _COMMAND.sub(lambda _: option, text)
