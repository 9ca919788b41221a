"""Panes of text about a run: its results by domain, its configuration, its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from engine.protocol import DomainPredictions, Predictions
from engine.protocol.diagnostics import Topic
from vld_tui.dashboard.feed import OtherRun, RunDetail
from vld_tui.dashboard.guard import Guarded
from vld_tui.dashboard.keys import DOMAIN_KEYS, STEP_KEYS, bind
from vld_tui.dashboard.widgets.ask import copy_path
from vld_tui.dashboard.widgets.confusions import ConfusionsView
from vld_tui.dashboard.widgets.filter_line import RowFilterLine
from vld_tui.dashboard.widgets.shown_step import StepKeys, StepLine
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.views.accuracies import domain_results
from vld_tui.views.detail import (
    FILE_COLUMNS,
    configuration,
    configuration_difference,
    run_facts,
    run_files,
)
from vld_tui.views.diagnoses import topic_text
from vld_tui.views.evaluations import evaluations_text
from vld_tui.views.phase import activity, is_diagnosing
from vld_tui.views.predictions import (
    class_order,
    class_orders,
    class_table,
    domain_title,
    matrix_cells,
    predictions_line,
)
from vld_tui.views.step_strip import ShownStep
from vld_tui.views.system import system_summary
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text, width

if TYPE_CHECKING:  # not needed for the first frame
    from vld_tui.dashboard.use.diagnosing import DiagnosingProgress

NOT_KEPT: Final = (
    "No per-class results: an older version ran this. They appear at the next best evaluation "
    "after a resume."
)
WIDE_CELLS: Final = 110
"""Minimum width for classes and confusions side by side."""


class DomainsPane(Guarded, StepKeys, Vertical):
    """A table of domains above classes and confusions."""

    DEFAULT_CSS = """
    DomainsPane { height: 1fr; }
    DomainsPane > Static { height: auto; padding: 0 1; }
    DomainsPane > StepLine { height: 1; margin-top: 1; }
    DomainsPane #class-accuracies, DomainsPane #confusions { width: 1fr; height: 1fr; }
    DomainsPane.-one #confusions { display: none; }
    DomainsPane.-one.-confusions #class-accuracies { display: none; }
    DomainsPane.-one.-confusions #confusions { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("order", "o", "order", "order", show=True),
        *DOMAIN_KEYS,
        *STEP_KEYS,
        bind("view", "v", "other_view", "view", show=True),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._detail: RunDetail | None = None
        self._predictions: Predictions | None = None
        self._problem: str | None = None
        self._order = 0
        self._domain = 0
        self._drawn: tuple[tuple[object, ...], tuple[object, ...]] = ((), ())

    def compose(self) -> ComposeResult:
        """Lay out the table, the steps, a heading, classes and confusions."""
        yield Static(id="domain-results")
        yield StepLine()
        yield Static(id="predictions-line")
        with Horizontal():
            yield ScrolledText(id="class-accuracies")
            yield ConfusionsView(id="confusions")

    def show(
        self,
        detail: RunDetail,
        predictions: Predictions | None,
        problem: str | None,
        shown_step: ShownStep,
    ) -> None:
        """Show the results of a run, and these predictions or why they cannot be read."""
        self._detail, self._predictions, self._problem = detail, predictions, problem
        self.shown_step = shown_step
        self._show()

    def on_resize(self) -> None:
        """Fit what is shown."""
        self._show()

    def action_order(self) -> None:
        """Switch to the next order of classes."""
        self._order += 1
        self._show()

    def action_domain(self, step: int) -> None:
        """Show the confusions of the next domain."""
        if not self.has_class("-one") or self.has_class("-confusions"):
            self._domain += step
        self.add_class("-confusions")
        self._show()
        self.query_one("#confusions").focus()

    def action_other_view(self) -> None:
        """Switch between classes and confusions."""
        wanted = "#confusions"
        if self.has_class("-one"):
            self.toggle_class("-confusions")
            wanted = "#confusions" if self.has_class("-confusions") else "#class-accuracies"
        elif self.query_one("#confusions").has_focus:
            wanted = "#class-accuracies"
        self._show()
        self.query_one(wanted).focus()

    def _show(self) -> None:
        detail, cells = self._detail, self.size.width - 2
        if detail is None or cells <= 0:
            return
        predictions, progress, problem = self._predictions, detail.progress, self._problem
        self.query_one(StepLine).show(self.shown_step)
        doing = "" if progress.evaluations else activity(detail.curves.run)
        one = self.has_class("-confusions")
        view = (cells, self._order, self._domain, one, problem, doing, self.shown_step)
        things = (predictions, progress.selected, progress.data, progress.arms)
        if self._drawn[1] == view and [*map(id, self._drawn[0])] == [*map(id, things)]:
            return
        self._drawn = (things, view)
        results = domain_results(detail.curves.run.task, progress, cells)
        self.query_one("#domain-results", Static).update(results)
        if predictions is None:
            self.query_one("#class-accuracies", ScrolledText).show(Text())
            self.query_one(ConfusionsView).clear()
        else:
            self._show_predictions(predictions, cells - 1)
        self._show_line(detail)

    def _show_predictions(self, predictions: Predictions, cells: int) -> None:
        """Show classes and confusions, side by side if the matrix fits."""
        order, domain = self._class_order(predictions), self._shown_domain()
        table = class_table(predictions, order, cells * 6 // 10)
        beside = max(map(width, table.plain.splitlines()), default=0) + 4
        is_matrix_hurt = cells - beside < matrix_cells(predictions.classes) <= cells
        is_one = cells < WIDE_CELLS or is_matrix_hurt
        self.set_class(is_one, "-one")
        classes = self.query_one("#class-accuracies", ScrolledText)
        classes.show(class_table(predictions, order, cells) if is_one else table)
        classes.styles.width = "1fr" if is_one else beside
        if domain is not None:
            room = cells - (0 if is_one else beside)
            self.query_one(ConfusionsView).show_confusions(
                domain, predictions.classes, class_order(predictions, order), room
            )

    def _class_order(self, predictions: Predictions) -> str:
        orders = class_orders(predictions)
        return orders[self._order % len(orders)]

    def _shown_domain(self) -> DomainPredictions | None:
        """Return the domain whose confusions are shown; by default the target's reported split."""
        predictions = self._predictions
        if predictions is None or not predictions.domains:
            return None
        ordered = sorted(predictions.domains, key=lambda each: (not each.is_target, each.split))
        return ordered[self._domain % len(ordered)]

    def _show_line(self, detail: RunDetail) -> None:
        """Show the heading of the lower half, or why it is empty."""
        predictions, progress = self._predictions, detail.progress
        text = Text("" if self.shown_step.has_line else "\n")
        if self._problem is not None:
            text.append(plain_text(self._problem), ALARM_STYLE)
        elif predictions is None:
            doing = activity(detail.curves.run)
            waiting = f"No evaluation yet · {doing}" if doing else ""
            text.append(NOT_KEPT if progress.evaluations else waiting, QUIET_STYLE)
        else:
            step = progress.selected.step if progress.selected else None
            parts = [predictions_line(predictions, step, self.shown_step.steps)]
            shows_both, on_confusions = not self.has_class("-one"), self.has_class("-confusions")
            if shows_both or not on_confusions:
                parts.append(f"classes {self._class_order(predictions)} (o)")
            if (shows_both or on_confusions) and (domain := self._shown_domain()) is not None:
                parts.append(f"confusions of {domain_title(domain)} ([ ])")
            text.append(" · ".join(parts), QUIET_STYLE)
        self.query_one("#predictions-line", Static).update(text)


class FittedText(ScrolledText):
    """Text about a run that is made to fit the width."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._detail: RunDetail | None = None

    def on_resize(self) -> None:
        """Fit what is shown."""
        self._fit()

    def _fit(self) -> None:
        if self._detail is not None and self.size.width > 0:
            self._show_detail(self._detail, self.text_cells)

    def _show_detail(self, detail: RunDetail, cells: int) -> None:
        """Show a run in this width."""
        raise NotImplementedError


class ConfigurationPane(FittedText):
    """Facts and fields by group, or the fields that differ."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._other: OtherRun | None = None

    def show_run(self, detail: RunDetail, other: OtherRun | None) -> None:
        """Show a run's facts and fields; with ``other`` only the differing ones."""
        self._detail, self._other = detail, other
        self._fit()

    def _show_detail(self, detail: RunDetail, cells: int) -> None:
        run, other = detail.curves.run, self._other
        if other is None:
            facts = run_facts(
                run, detail.progress, detail.attempts, folder=detail.folder, cells=cells,
                system=system_summary(detail.curves.curves),
            )  # fmt: skip
            self.show(facts.append("\n\n").append_text(configuration(run, cells)))
        elif other.run is None:
            problem = plain_text(other.problem or "", keep_newlines=True)
            self.show(Text(f"{problem}\n\n", ALARM_STYLE).append("d: back", QUIET_STYLE))
        else:
            text = configuration_difference(run, other.run, cells)
            self.show(text.append("\n\nd: show every field", QUIET_STYLE))


class EvaluationsPane(FittedText):
    """The run's results on other data."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._drawn: tuple[int, ...] = ()

    def show_run(self, detail: RunDetail) -> None:
        """Show a run's evaluations."""
        self._detail = detail
        self._fit()

    def _show_detail(self, detail: RunDetail, cells: int) -> None:
        stored = detail.contents.evaluations
        if self._drawn != (id(stored), cells):  # the same object while nothing changed
            self._drawn = (id(stored), cells)
            self.show(evaluations_text(stored, detail.curves.run.run_id, cells))


class DiagnosesPane(FittedText):
    """The run's diagnostics of a topic: words, tables and drawings.

    While they are computed, a line above shows the application's reactive ``diagnosing``.
    """

    DEFAULT_CSS = """
    DiagnosesPane > .-computing { dock: top; height: 1; display: none; }
    """

    def __init__(self, topic: Topic, **settings: Any) -> None:
        super().__init__(**settings)
        self._topic = topic
        self._key = ""
        self._progress: DiagnosingProgress | None = None
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the text below the progress."""
        yield from super().compose()
        yield Static(classes="-computing")

    def on_mount(self) -> None:
        """Follow the application's progress."""
        self.watch(self.app, "diagnosing", self._follow)

    def show_run(self, detail: RunDetail, key: str) -> None:
        """Show a run's diagnostics; ``key`` computes them."""
        self._detail, self._key = detail, key
        self._fit()

    def _follow(self, progress: DiagnosingProgress | None) -> None:
        self._progress = progress
        self._fit()

    def _show_detail(self, detail: RunDetail, cells: int) -> None:
        run, stored = detail.curves.run, detail.contents.diagnoses
        is_computed = self._show_progress(run.run_id, cells) or is_diagnosing(run)
        # the same object while nothing changed
        seen = (id(stored), run.selected_step, run.is_live, is_computed, self._key, cells)
        if self._drawn != seen:
            self._drawn = seen
            key = None if is_computed else self._key
            self.show(topic_text(run, stored, self._topic, cells, key))

    def _show_progress(self, run_id: str, cells: int) -> bool:
        """Show the progress if this topic of a run is computed; return whether it is."""
        progress, line = self._progress, self.query_one(".-computing", Static)
        line.display = progress is not None and progress.includes(run_id, self._topic)
        if progress is not None and line.display:
            words = "Computing: "
            line.update(Text(words + progress.text(cells - len(words)), QUIET_STYLE))
        return line.display


class FilesPane(ScrolledText):
    """The run's folder, its checkpoints and other files."""

    DEFAULT_CSS = "FilesPane RowFilterLine { dock: top; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("copy-path", "Y", "copy_path", "copy path", show=True),
        bind("filter", "slash", "filter", "filter", key_display="/", show=True),
        bind("clear", "escape", "clear", "clear"),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(classes="-folds", **settings)
        self._detail: RunDetail | None = None

    def compose(self) -> ComposeResult:
        """Lay out the files below the filter."""
        yield from super().compose()
        yield RowFilterLine(FILE_COLUMNS)

    def show_run(self, detail: RunDetail) -> None:
        """Show a run's files."""
        self._detail = detail
        self._show()

    def on_resize(self) -> None:
        """Fit what is shown."""
        self._show()

    def action_copy_path(self) -> None:
        """Copy the folder's path to the terminal's clipboard."""
        if self._detail is not None:
            copy_path(self, self._detail.folder)

    def on_row_filter_line_changed(self) -> None:
        """Show the files that match."""
        self._show()

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(RowFilterLine).begin()

    def action_clear(self) -> None:
        """Clear the filter."""
        self.query_one(RowFilterLine).clear()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave escape to the screen without a filter."""
        if action == "clear":
            return self.query_one(RowFilterLine).is_filtered
        return super().check_action(action, parameters)

    def _show(self) -> None:
        detail = self._detail
        if detail is None or self.size.width == 0:
            return
        line, found = self.query_one(RowFilterLine), 0

        def select(rows: Sequence[Sequence[str]]) -> Sequence[int]:
            nonlocal found
            places = line.select(rows)
            found = len(places)
            return places

        files = detail.contents.files
        table = run_files(files, detail.checkpoints, self.text_cells, select)
        text = Text(overflow="fold")
        text.append(f"{plain_text(detail.folder)}\n")
        text.append(f"Y: copy this path{line.summary(found, len(files))}\n\n", QUIET_STYLE)
        self.show(text.append_text(table))
