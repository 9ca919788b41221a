"""Misclassified images of the target, of other domains, or of a cell of a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.protocol import Predictions
from engine.protocol.diagnostics import Diagnosis
from engine.protocol.neighbours import Neighbour, neighbours_in
from vld_tui.dashboard.draw.mistakes import mistake_picture
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import DOMAIN_KEYS, STEP_KEYS, bind
from vld_tui.dashboard.widgets.gallery import Gallery
from vld_tui.dashboard.widgets.shown_step import StepKeys, StepLine
from vld_tui.runs.mistakes import ConfusionCell, Mistakes, mistakes_by_domain, mistakes_in
from vld_tui.views.predictions import cell_heading, mistakes_heading
from vld_tui.views.step_strip import ShownStep
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

NONE_KEPT: Final = "No misclassified images are stored; see Domains."
NOT_YET: Final = "No misclassified images yet (saved at the first evaluation)"


class SamplesPane(Guarded, StepKeys, Vertical):
    """Misclassified images, most confident first."""

    DEFAULT_CSS = """
    SamplesPane { height: 1fr; padding: 0 1; }
    SamplesPane > #mistakes { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "all_cells", "back", show=True),
        *DOMAIN_KEYS,
        *STEP_KEYS,
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._predictions: Predictions | None = None
        self._problem: str | None = None
        self._doing = ""
        self._folder: str | None = None
        self._nearest: Diagnosis | None = None
        self._neighbours: Mapping[str, tuple[Neighbour, ...]] = {}
        self._domain = 0
        self._cell: ConfusionCell | None = None
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the steps, a heading and the images."""
        yield StepLine()
        yield Static(id="mistakes")
        yield Gallery()

    def show(
        self,
        predictions: Predictions | None,
        problem: str | None,
        shown_step: ShownStep,
        *,
        doing: str = "",
        folder: str | None = None,
        nearest: Diagnosis | None = None,
    ) -> None:
        """Show the misclassified images of these predictions.

        Args:
            predictions: those of the shown step.
            problem: why they cannot be read.
            shown_step: the shown step and the others.
            doing: what a live run does.
            folder: that of the data set, if there is one.
            nearest: the training images nearest to the mistakes of a step.
        """
        if nearest is not self._nearest:
            self._nearest = nearest
            self._neighbours = {} if nearest is None else neighbours_in(nearest)
        self._predictions, self._problem, self._doing = predictions, problem, doing
        self._folder, self.shown_step = folder, shown_step
        self._show()

    def show_cell(self, cell: ConfusionCell | None) -> None:
        """Show only the images of a cell of a confusion matrix; None: all."""
        self._cell = cell
        self._show()

    def on_mount(self) -> None:
        """Show the images."""
        self._show()

    def on_gallery_turned(self) -> None:
        """Show which images are visible."""
        self._show_heading()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what is possible: back from a cell, and other domains."""
        if action == "all_cells":
            return self._cell is not None
        return super().check_action(action, parameters)

    def action_all_cells(self) -> None:
        """Show all images again."""
        self.show_cell(None)

    def action_domain(self, step: int) -> None:
        """Show the next domain."""
        self._domain += step
        self.show_cell(None)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        view = (id(self._predictions), self._domain, self._cell, id(self._nearest))
        if view != self._drawn:
            self._drawn = view
            found, classes = self._mistakes, self._predictions.classes if self._predictions else ()
            stored = found.stored if found is not None else ()
            known = self._known_neighbours
            pictures = [
                mistake_picture(each, classes, self._folder, known.get(each.name, ()))
                for each in stored
            ]
            self.query_one(Gallery).show(pictures)
            self.refresh_bindings()
        self.query_one(StepLine).show(self.shown_step)
        self._show_heading()

    @property
    def _known_neighbours(self) -> Mapping[str, tuple[Neighbour, ...]]:
        """Return the training images nearest to each mistake, if they are of the shown step."""
        nearest, shown = self._nearest, self._predictions
        is_same = nearest is not None and shown is not None and nearest.step == shown.step
        return self._neighbours if is_same else {}

    @property
    def _mistakes(self) -> Mistakes | None:
        """Return what is shown."""
        if self._predictions is None:
            return None
        if self._cell is not None:
            return mistakes_in(self._predictions, self._cell)
        domains = mistakes_by_domain(self._predictions)
        return domains[self._domain % len(domains)]

    def _show_heading(self) -> None:
        self.query_one("#mistakes", Static).update(self._heading())

    def _heading(self) -> Text:
        if self._problem is not None:
            said = plain_text(self._problem)
            return Text(said, ALARM_STYLE, no_wrap=True)
        if self._predictions is None or (found := self._mistakes) is None:
            said = f"{NOT_YET} · {self._doing}" if self._doing else NONE_KEPT
            return Text(said, QUIET_STYLE, no_wrap=True, overflow="ellipsis")
        visible = self.query_one(Gallery).shown
        if self._cell is not None:
            said = cell_heading(found, self._cell, self._predictions.classes, visible)
        else:
            said = mistakes_heading(found, self._predictions.step, visible)
            if len(mistakes_by_domain(self._predictions)) > 1:
                said += " · [ ] other domains"
            said += " · M: compare with another run"
        return Text(said, QUIET_STYLE, no_wrap=True, overflow="ellipsis")
