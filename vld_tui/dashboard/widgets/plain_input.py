"""A line to type in that shows nothing a terminal would obey."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input

from vld_tui.words.text import plain_text


class PlainInput(Input):
    """An input whose text may come from outside: what could steer a terminal is made visible.

    The value itself stays as it is. A character stands for each, so that the cursor is where it
    seems to be.
    """

    @property
    def _value(self) -> Text:
        """Return the text to draw; the base class draws what is typed as it is."""
        shown = (plain_text(character) for character in self.value)
        plain = "".join(each if len(each) == 1 else "�" for each in shown)
        return Text(plain, no_wrap=True, overflow="ignore", end="")
