"""Training images whose label may be wrong as pictures, with a decision on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from engine.protocol.exclude_lists import Action, Decision
from engine.protocol.suspects import Suspect
from vld_tui.dashboard.draw.mistakes import Picture
from vld_tui.dashboard.draw.suspects import suspect_picture
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import ActionAsked
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.widgets.ask import ask_export
from vld_tui.dashboard.widgets.gallery import Gallery
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.views.suspects import suspects_summary
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.dashboard.use.results import SuspectsFound

DECIDED: Final[dict[Action, str]] = {
    "exclude": "excluded",
    "relabel": "relabelled",
    "keep": "kept",
}
"""Words for what was decided."""


class SuspectsScreen(Guarded, Screen[None]):
    """The suspects in pages, highest scores first; keys decide on the current one."""

    AUTO_FOCUS = "Gallery"
    DEFAULT_CSS = """
    SuspectsScreen > Static { padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    SuspectsScreen #listed { height: 1; }
    SuspectsScreen Gallery { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "app.pop_screen", "back", show=True),
        bind("exclude-image", "x", "decide('exclude')", "exclude", show=True),
        bind("relabel-image", "r", "relabel", "relabel", show=True),
        bind("keep-image", "p", "decide('keep')", "keep", show=True),
        bind("undecide-image", "z", "undecide", "undo decision"),
        bind("export", "w", "export", "export", show=True),
    ]

    def __init__(self, actions: Actions, result: SuspectsFound) -> None:
        super().__init__()
        self._actions, self._result = actions, result
        listed = result.found.suspects.listed
        self._images: Sequence[Suspect] = [each for each in listed if each.is_suspect] or listed

    def compose(self) -> ComposeResult:
        """Lay out the pictures below their heading."""
        yield Static(id="status")
        yield Static(id="listed")
        yield Gallery()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the most doubtful images."""
        title = Text(f" {plain_text(self._result.title)}", HEADING_STYLE, no_wrap=True)
        self.query_one("#status", Static).update(title)
        self._show_counts()
        self.query_one(Gallery).show([self._picture(each) for each in self._images])

    def action_decide(self, action: Action) -> None:
        """Decide on the current image, and go to the next one."""
        if (current := self._current) is not None:
            self._decide(current, Decision(current.path, action))

    def action_relabel(self) -> None:
        """Ask for the class of the current image; the predicted one comes first."""
        current = self._current
        if current is None:
            return

        def answered(name: str | None) -> None:
            if name is not None:
                self._decide(current, Decision(current.path, "relabel", name))

        classes = self._result.found.suspects.classes
        names = [name for name in classes if name not in (current.predicted, current.class_name)]
        if current.predicted != current.class_name:
            names.insert(0, current.predicted)
        options = [
            PickOption(name, (name, "predicted" if name == current.predicted else ""))
            for name in names
        ]
        title = f"Correct class of {plain_text(current.path)}:"
        self.app.push_screen(Pick(title, options, current=names[0]), answered)

    def action_undecide(self) -> None:
        """Remove the decision on the current image."""
        if (current := self._current) is not None:
            self._result.decisions.pop(current.path, None)
            self._show_decision(current)

    def action_export(self) -> None:
        """Ask where to save the decisions, or the screen."""

        def export(path: str) -> None:
            decisions = dict(self._result.decisions)
            chosen = [
                (each, decisions[each.path]) for each in self._images if each.path in decisions
            ]
            if not chosen:
                said = "No decisions to save. Exclude, relabel or keep an image first."
                self.notify(said, severity="warning", markup=False)
                return
            self.post_message(ActionAsked(partial(self._save, chosen, path)))

        question = "Save the decisions as an exclude list (.csv) or the screen (.svg) to:"
        ask_export(self.app, question, export, example="exclude.csv")

    def _save(self, chosen: Sequence[tuple[Suspect, Decision]], path: str) -> str:
        said = self._actions.save_decisions(chosen, path)
        self._result.saved.update({image.path: decision for image, decision in chosen})
        return said

    @property
    def _current(self) -> Suspect | None:
        return self._images[self.query_one(Gallery).current] if self._images else None

    def _decide(self, image: Suspect, decision: Decision) -> None:
        self._result.decisions[image.path] = decision
        self._show_decision(image)
        self.query_one(Gallery).action_move(1, 0)

    def _show_decision(self, current: Suspect) -> None:
        self._show_counts()
        self.query_one(Gallery).replace_current(self._picture(current))

    def _picture(self, image: Suspect) -> Picture:
        decision = self._result.decisions.get(image.path)
        return suspect_picture(image, decision, self._result.found.suspects.where)

    def _show_counts(self) -> None:
        suspects, decisions = self._result.found.suspects, self._result.decisions
        counts = Counter(each.action for each in decisions.values())
        decided = [
            f"{counts[action]:,} {word}" for action, word in DECIDED.items() if counts[action]
        ]
        parts = [", ".join(decided)] if decided else []
        parts += [suspects_summary(suspects), *map(plain_text, self._result.notes)]
        if self._result.found.problem:
            parts.insert(0, plain_text(self._result.found.problem))
        text = Text(" · ".join(parts), QUIET_STYLE, no_wrap=True, overflow="ellipsis")
        self.query_one("#listed", Static).update(text)
