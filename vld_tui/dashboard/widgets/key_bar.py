"""The keys that can be pressed, on the last line of a screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Footer


class KeyBar(Footer):
    """Textual's footer, made anew only when other keys can be pressed.

    Its own makes a widget for each key at every move of the focus and lays out the whole screen.
    """

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._shown: list[tuple[Binding, bool, str]] | None = None

    def compose(self) -> ComposeResult:
        """Make a widget for each key, once the screen is there."""
        if self._shown is not None:
            self._shown = self._keys()
        yield from super().compose()

    async def recompose(self) -> None:
        """Show the keys that can be pressed now, unless they are shown already."""
        if self.is_attached and self._keys() != self._shown:
            self._shown = []
            await super().recompose()

    def _keys(self) -> list[tuple[Binding, bool, str]]:
        return [
            (binding, enabled, tooltip)
            for _, binding, enabled, tooltip in self.screen.active_bindings.values()
            if binding.show
        ]
