"""Errors inside the dashboard: told and logged, and the rest goes on.

Textual ends the application at the first exception in a handler. Somebody who watches a night of
runs would rather read what went wrong and keep watching.
"""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from textual.message import Message
from textual.message_pump import MessagePump

from engine.rundir import plain_file

MOST_TOLD: Final = 100
"""Different errors that are told and logged; later ones are only survived."""


@runtime_checkable
class Survivor(Protocol):
    """An application that goes on after an error."""

    def survive(self, error: Exception) -> bool:
        """Tell an error; False: it is to end the application."""


class Guarded(MessagePump):
    """Mixin of whatever handles messages: an exception in a handler ends that handler only."""

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            if not isinstance(self.app, Survivor) or not self.app.survive(error):
                raise


class ErrorLog:
    """A file that errors are appended to, each one once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[str] = set()

    def is_new(self, error: Exception) -> bool:
        """Write an error down, unless it was before; say whether it is new."""
        place = traceback.extract_tb(error.__traceback__)[-1:]
        name = f"{type(error).__name__}: {error} {place}"
        if name in self._known or len(self._known) >= MOST_TOLD:
            return False
        self._known.add(name)
        told = "".join(traceback.format_exception(error))
        try:
            with open(
                self.path, "a", encoding="utf-8", errors="backslashreplace", opener=plain_file
            ) as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{told}\n")
        except OSError:  # a home that cannot be written: it is still told
            pass
        return True
