"""The choice of diagnostics to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.protocol.diagnostics import TOPICS, Topic
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from textual.app import App

    from vld_tui.dashboard.messages import DiagnoseAsked

CHOICES: Final[Mapping[str, tuple[Topic, ...]]] = {
    "all": TOPICS,
    **{topic: (topic,) for topic in TOPICS},
}
ABOUT: Final[Mapping[str, str]] = {
    "all": "rich and shift",
    "rich": "how rich the representation is",
    "shift": "how far the target is from the sources",
}


def ask_topics(
    app: App[Any], asked: DiagnoseAsked, then: Callable[[tuple[Topic, ...]], object]
) -> None:
    """Ask which diagnostics of runs to compute."""
    names = [*CHOICES] if asked.has_target else ["rich"]
    options = [PickOption(name, (name, ABOUT[name])) for name in names]

    def answered(chosen: str | None) -> None:
        if chosen is not None:
            then(CHOICES[chosen])

    title = f"Diagnose {plain_text(asked.which)}:"
    app.push_screen(Pick(title, options, current=names[0]), answered)
