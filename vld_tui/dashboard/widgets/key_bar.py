"""The last line of a screen: its most important keys."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Footer


class KeyBar(Footer):
    """Textual's footer, rebuilt only when its keys change.

    Textual rebuilds every widget and lays out the whole screen whenever the focus moves.
    """

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._shown: list[tuple[Binding, bool, str]] | None = None

    def compose(self) -> ComposeResult:
        """Create a widget for each key, once the screen exists."""
        if self._shown is not None:
            self._shown = self._keys()
        yield from super().compose()

    async def recompose(self) -> None:
        """Show the active keys, if they changed."""
        if self.is_attached and self._keys() != self._shown:
            self._shown = []
            await super().recompose()

    def _keys(self) -> list[tuple[Binding, bool, str]]:
        return [
            (binding, enabled, tooltip)
            for _, binding, enabled, tooltip in self.screen.active_bindings.values()
            if binding.show
        ]
