"""An input that never sends control characters to the terminal."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input

from vld_tui.words.text import plain_text


class PlainInput(Input):
    """An input whose text may come from outside: control characters are made visible.

    The value is unchanged. Each is replaced by one character, so that the cursor's position is
    right.
    """

    @property
    def _value(self) -> Text:
        """Return the text to draw; the base class draws the value unchanged."""
        shown = (plain_text(character) for character in self.value)
        plain = "".join(each if len(each) == 1 else "�" for each in shown)
        return Text(plain, no_wrap=True, overflow="ignore", end="")
