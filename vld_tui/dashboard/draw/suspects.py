"""Pictures of training images whose label may be wrong."""

from __future__ import annotations

from functools import partial

from rich.text import Text

from engine.protocol.exclude_lists import Decision
from engine.protocol.suspects import Suspect
from vld_tui.dashboard.draw.mistakes import Picture, read_picture, two_lines
from vld_tui.views.suspects import twin_words
from vld_tui.words.numbers import percent, signed
from vld_tui.words.text import plain_text, shorten

EXCLUDED, KEPT, RELABELLED = "✗ excluded", "✓ kept", "→ "
"""Signs of decisions below a picture."""


def suspect_picture(image: Suspect, decision: Decision | None, folder: str) -> Picture:
    """Return a training image with the decision on it; ``folder`` is that of the data set."""

    def captioned(cells: int) -> Text:
        share = f" {percent(image.probability)}"
        predicted = shorten(plain_text(image.predicted), max(1, cells - len(share)))
        second = f"{predicted}{share}" if decision is None else decision_words(decision)
        return two_lines(shorten(plain_text(image.class_name), cells), shorten(second, cells))

    predicted = f"{plain_text(image.predicted)} {percent(image.probability)}"
    words = [
        f"label {plain_text(image.class_name)} {percent(image.label_probability)}",
        f"predicted {predicted}",
        f"score {signed(image.score, 2)}",
    ]
    words += [twin_words(image)] if image.twins else []
    words += [decision_words(decision)] if decision is not None else []
    text = Text(f"{plain_text(image.path)}\n{' · '.join(words)}", no_wrap=True, overflow="ellipsis")
    read = partial(read_picture, image.picture, image.path, folder)
    return Picture(captioned, text, read, image.path)


def decision_words(decision: Decision) -> str:
    """Return a decision in a few words."""
    if decision.action == "relabel":
        return f"{RELABELLED}{plain_text(decision.class_name)}"
    return EXCLUDED if decision.action == "exclude" else KEPT
