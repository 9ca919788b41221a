"""Move between the lines of the form."""

from __future__ import annotations

from collections.abc import Sequence

from textual.widget import Widget

from vld_tui.dashboard.screens.new_run.lines import FieldLine


def line_of(widget: Widget) -> Widget:
    """Return the field that a widget is part of, or the widget."""
    fields = (each for each in widget.ancestors_with_self if isinstance(each, FieldLine))
    return next(fields, widget)


def next_line(chain: Sequence[Widget], focused: Widget, step: int) -> Widget:
    """Return the line after that of the focused widget, or before it (−1), cyclically.

    ``chain`` has every focusable widget, in order.
    """
    lines = list(dict.fromkeys(map(line_of, chain)))
    return lines[(lines.index(line_of(focused)) + step) % len(lines)]
