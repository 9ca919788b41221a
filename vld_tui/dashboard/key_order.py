"""Keys and pastes are handled one after another, also if many arrive at once.

Textual hands each key to the focused widget immediately, but runs bindings only after the key has
bubbled up to the application: of keys that arrive in one read, such as ``a``, backspace, ``b``, the
letters would be handled before the others.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from textual.app import App
from textual.events import Event, Key, Paste
from textual.message import Message
from textual.timer import Timer

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.widgets.dialog import Dialog

LONGEST_S: Final = 0.5
"""Time after which the next key is handled, if the widget of the former one was removed."""


class KeyHandled(Message):
    """Follows a key from the focused widget up to the application, and is never stopped."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class KeysInOrder(Guarded, App[None]):
    """An application that handles a key only after the former one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._under_way: Event | None = None
        self._keys_waiting: deque[Key | Paste] = deque()
        self._key_timer: Timer | None = None

    async def on_event(self, event: Event) -> None:
        """Handle an event; keys wait for those before them."""
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
        else:
            self._keys_waiting.append(event)
            await self._take_keys()

    async def on_key_handled(self, message: KeyHandled) -> None:
        """Handle the next key."""
        await self._end_key(message.event)

    async def _end_key(self, event: Event) -> None:
        if event is not self._under_way:
            return
        self._under_way = None
        if self._key_timer is not None:
            self._key_timer.stop()
        await self._take_keys()

    async def _take_keys(self) -> None:
        """Handle the keys that wait, up to one that a widget has to handle."""
        while self._keys_waiting and self._under_way is None:
            event = self._keys_waiting.popleft()
            screen = self.screen_stack[-1] if self._running and self.screen_stack else None
            if isinstance(event, Key) and isinstance(screen, Dialog) and screen.is_too_early(event):
                continue  # typed before the user could read the question it would answer
            target = self.focused or screen
            await super().on_event(event)
            if event.is_forwarded and target is not None:
                self._under_way = event
                self._key_timer = self.set_timer(LONGEST_S, lambda of=event: self._end_key(of))
                target.post_message(KeyHandled(event))
