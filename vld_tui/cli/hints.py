"""Commands worth typing next, as they must be typed: with the home that this one was given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

_COMMAND: Final = re.compile(r"(?<![\w/.-])vld (?=[a-z])")
_given: list[Path] = []
"""The folder that ``--home`` names in this invocation, if it does."""


def remember_home(home: Path | None) -> None:
    """Keep the home that was given as an option; None: none was."""
    _given[:] = [] if home is None else [home]


def with_home(text: str) -> str:
    """Return a text whose ``vld …`` commands name the home that was given as an option."""
    if not _given:
        return text
    option = f"vld --home {shlex.quote(str(_given[0]))} "
    return _COMMAND.sub(lambda _: option, text)
