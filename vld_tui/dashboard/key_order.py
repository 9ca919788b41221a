"""Keys and pastes are handled one after another, also if many arrive at once.

Textual hands each key to the focused widget immediately, but runs bindings only after the key has
bubbled up to the application: of keys that arrive in one read, such as ``a``, backspace, ``b``, the
letters would be handled before the others, and keys that follow the one that opens a dialog would
act on the screen below it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from textual.app import App
from textual.await_complete import AwaitComplete
from textual.events import Event, Key, Paste
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, TextArea

from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.widgets.dialog import OPENS_DIALOG, Dialog

LAPS: Final = 3
"""How often a message follows a key that does not edit text: an action may post a message, and its
handler another one, which opens a screen."""
LONGEST_S: Final = 0.5
"""Time after which the next key is handled, if the widget of the former one was removed."""
LONGEST_OPENING_S: Final = 2.0
"""Time that keys wait for a worker that opens a dialog; then they are dropped."""
POLL_S: Final = 0.02


class KeyHandled(Message):
    """Follows a key from the focused widget up to the application, and is never stopped."""

    def __init__(self, event: Event, way: MessagePump, screen: Screen[Any], laps: int) -> None:
        super().__init__()
        self.event, self.way, self.screen, self.laps = event, way, screen, laps


class KeysInOrder(Guarded, App[None]):
    """An application that handles a key only after the former one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._under_way: Event | None = None
        self._keys_waiting: deque[Key | Paste] = deque()
        self._key_timer: Timer | None = None
        self._opening_until = 0.0

    async def on_event(self, event: Event) -> None:
        """Handle an event; keys wait for those before them."""
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
        else:
            self._keys_waiting.append(event)
            await self._take_keys()

    def pop_screen(self) -> AwaitComplete:
        """Return to the screen below; the key that did it does not wait for removed widgets."""
        popped = super().pop_screen()
        if self._under_way is not None and self._top is not None:
            self._follow(self._under_way, self._top, self._top)
        return popped

    async def on_key_handled(self, message: KeyHandled) -> None:
        """Follow the key again, or handle the next one."""
        if message.event is not self._under_way:
            return
        if message.laps > 1 or message.screen is not self._top:
            self._follow(message.event, message.way, message.screen, message.laps - 1)
        elif self._is_dialog_coming and time.monotonic() < self._opening_until:
            self._wait(POLL_S, lambda: self._follow(message.event, message.way, message.screen))
        else:
            if self._is_dialog_coming:
                self._keys_waiting.clear()
            await self._end_key(message.event)

    def _follow(
        self, event: Event, way: MessagePump, screen: Screen[Any] | None, laps: int = LAPS
    ) -> None:
        """Post a message on the way of a key; if the key changed the screen, through the visible
        one, which handles messages as soon as its widgets exist."""
        self._wait(LONGEST_S, lambda: self._end_key(event))
        top = self._top
        if top is None:
            return
        if screen is not top or not way.post_message(KeyHandled(event, way, screen, laps)):
            top.post_message(KeyHandled(event, top, top, 1))

    @property
    def _top(self) -> Screen[Any] | None:
        return self.screen_stack[-1] if self._running and self.screen_stack else None

    @property
    def _is_dialog_coming(self) -> bool:
        return any(each.group == OPENS_DIALOG and not each.is_finished for each in self.workers)

    def _wait(self, seconds: float, then: Callable[[], Awaitable[None] | None]) -> None:
        if self._key_timer is not None:
            self._key_timer.stop()
        self._key_timer = self.set_timer(seconds, then)

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
            event, screen = self._keys_waiting.popleft(), self._top
            if isinstance(event, Key) and isinstance(screen, Dialog) and screen.is_too_early(event):
                continue  # typed before the user could read the question it would answer
            way = self.focused or screen
            await super().on_event(event)
            if way is not None:
                self._under_way = event
                self._opening_until = time.monotonic() + LONGEST_OPENING_S
                is_typing = isinstance(way, Input | TextArea) and not _is_enter(event)
                self._follow(event, way, screen, 1 if is_typing else LAPS)


def _is_enter(event: Key | Paste) -> bool:
    return isinstance(event, Key) and event.key == "enter"
