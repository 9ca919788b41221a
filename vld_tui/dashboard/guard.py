"""Errors inside the dashboard: reported and logged; the dashboard keeps running.

Textual ends the application at the first exception in a handler; a user who watches long runs
needs it to keep running.
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
"""Maximum number of different errors to report and log; later ones are ignored."""


@runtime_checkable
class Survivor(Protocol):
    """An application that continues after an error."""

    def survive(self, error: Exception) -> bool:
        """Report an error; False: it must end the application."""


class Guarded(MessagePump):
    """Mixin for message handlers: an exception ends only the handler that raised it."""

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            if not isinstance(self.app, Survivor) or not self.app.survive(error):
                raise


class ErrorLog:
    """A file that each error is appended to once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[str] = set()

    def is_new(self, error: Exception) -> bool:
        """Log an error unless it was logged before; return whether it is new."""
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
        except OSError:  # the home is read-only: the error is still reported
            pass
        return True
