"""One run in tabs: curves, domains and classes, configuration, mistakes, log, files, history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Footer, Static, TabbedContent, TabPane

from vld_tui.actions import Actions
from vld_tui.bindings import bind
from vld_tui.feed import OtherRun, RunDetail
from vld_tui.messages import OtherRunNamed, SnapshotTaken
from vld_tui.screens.ask import AskLine
from vld_tui.screens.run_keys import RunKeys
from vld_tui.store.runs import Run
from vld_tui.views.run_heading import run_heading, trouble_line
from vld_tui.views.timeline import timeline
from vld_tui.widgets.curves import Curves
from vld_tui.widgets.run.configuration import ConfigurationPane
from vld_tui.widgets.run.domains import DomainsPane
from vld_tui.widgets.run.files import FilesPane
from vld_tui.widgets.run.log import LogPane
from vld_tui.widgets.run.samples import SamplesPane
from vld_tui.widgets.run.scrolled import ScrolledText

PANES: Final[Mapping[str, Callable[[], Widget]]] = {
    "curves": Curves,
    "domains": DomainsPane,
    "configuration": ConfigurationPane,
    "samples": SamplesPane,
    "log": LogPane,
    "files": FilesPane,
    "timeline": partial(ScrolledText, id="moments", classes="-folds"),
}


class RunScreen(RunKeys):
    """All of a run, as it goes on."""

    DEFAULT_CSS = """
    RunScreen #trouble { height: 1; }
    RunScreen ContentSwitcher, RunScreen TabPane { height: 1fr; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("escape", "app.close_run", "back", show=True),
        *(
            bind(f"{place},l" if pane == "log" else f"{place}", f"pane('{pane}')", pane)
            for place, pane in enumerate(PANES, start=1)
        ),
        bind("d", "differences", "differences", show=True),
        bind("r", "resume", "resume", show=True),
        bind("I", "interrupt", "stop", show=True),
        bind("T,K", "kill", "kill"),
        bind("Q", "queue_again", "wait for a slot"),
        bind("c", "app.clone", "clone", show=True),
        bind("t", "tags", "tags"),
        bind("e", "note", "note"),
    ]

    def __init__(self, actions: Actions, run_id: str) -> None:
        super().__init__(actions)
        self.run_id = run_id
        self._detail: RunDetail | None = None
        self._other: OtherRun | None = None
        self._marked: str | None = None

    @property
    def run(self) -> Run | None:
        """Return the run, once it is known."""
        return self._detail.curves.run if self._detail is not None else None

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Static(id="status")
        yield Static(id="trouble")
        with TabbedContent():
            for place, (pane, make) in enumerate(PANES.items(), start=1):
                with TabPane(f"{place} {pane.capitalize()}", id=f"{pane}-pane"):
                    yield make()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the curves, and no line of trouble."""
        self.query_one("#trouble").display = False
        self.action_pane("curves")

    def action_pane(self, pane: str) -> None:
        """Show a pane and let keys act on it."""
        self.set_focus(None)  # a part that is hidden would pass its focus on later
        self.query_one(TabbedContent).active = f"{pane}-pane"
        self.call_after_refresh(self._focus_pane, pane)

    def action_differences(self) -> None:
        """Ask for the run to compare the configuration with, or show every field again."""
        is_shown = self.query_one(TabbedContent).active == "configuration-pane"
        self.action_pane("configuration")
        if self._other is None:
            self._ask_other()
        elif is_shown:
            self.post_message(OtherRunNamed(None))

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show how the run stands now."""
        snapshot = message.snapshot
        others = [each.run.run_id for each in snapshot.watched if each.run.run_id != self.run_id]
        self._marked = others[0] if others else None
        opened = snapshot.opened
        if opened is None or opened.curves.run.run_id != self.run_id:
            return
        is_new, is_other_new = opened is not self._detail, snapshot.other != self._other
        self._detail, self._other = opened, snapshot.other
        if is_new:
            self._show(opened)
        if is_new or is_other_new:
            pane = self.query_one(ConfigurationPane)
            pane.show_run(opened.curves.run, self._other)

    def _show(self, detail: RunDetail) -> None:
        run = detail.curves.run
        self.query_one("#status", Static).update(run_heading(run))
        line = trouble_line(run, detail.checkpoints)
        trouble = self.query_one("#trouble", Static)
        trouble.display = line is not None
        trouble.update(line or "")
        self.query_one(Curves).show((detail.curves,))
        self.query_one(DomainsPane).show(detail)
        contents = detail.contents
        self.query_one(SamplesPane).show(contents.predictions, contents.predictions_problem)
        self.query_one(LogPane).show(contents.log, is_cut=contents.log_is_cut)
        self.query_one(FilesPane).show_run(detail)
        moments = timeline(run, detail.attempts, detail.progress)
        self.query_one("#moments", ScrolledText).show(moments)

    def _focus_pane(self, pane: str) -> None:
        """Give the focus to the first part of a pane that takes it."""
        within = self.query_one(f"#{pane}-pane").query("*")
        first = next((each for each in within if each.focusable), None)
        if first is not None:
            first.focus()

    def _ask_other(self) -> None:
        def answered(reference: str | None) -> None:
            if reference:
                self.post_message(OtherRunNamed(reference))

        question = AskLine(
            "Compare with the run (id, start of an id, name, or @last):", answer=self._marked or ""
        )
        self.app.push_screen(question, answered)
